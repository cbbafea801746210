import assert from 'node:assert/strict';
import {test} from 'node:test';
import {realmMayHaveCredentials} from './realm.ts';

/** C-007, D-105, D-121. */
const TABLE: readonly [registry: string, realm: string, expected: boolean, realms?: readonly string[]][] = [
  ['https://ghcr.io', 'https://ghcr.io/token', true],
  ['https://registry-1.docker.io', 'https://auth.docker.io/token', true],
  ['https://registry.gitlab.com', 'https://gitlab.com/jwt/auth', true],
  ['https://registry.redhat.io', 'https://sso.redhat.com/auth', true],
  ['https://nvcr.io', 'https://authn.nvidia.com/token', true],
  ['https://registry.example.com', 'https://attacker.net/token', false],
  ['https://registry.example.com', 'https://example.com.attacker.net/token', false],
  ['https://registry.example.co.uk', 'https://other.co.uk/token', false],
  ['https://alice.github.io', 'https://mallory.github.io/token', false],
  ['https://registry.example.com', 'http://registry.example.com/token', false],
  ['http://127.0.0.1:5000', 'http://127.0.0.1:5001/token', true],
  ['http://127.0.0.1:5000', 'http://127.0.0.2:5001/token', false],
  ['https://10.0.0.1', 'https://10.0.0.2/token', false],
  ['https://registry', 'https://registry/token', true],
  ['https://registry', 'https://sso/token', false],
  ['https://registry.example.com', 'https://sso.corp.test/token', true, ['sso.corp.test']],
  ['https://registry.example.com', 'https://sso.corp.test/token', true, ['corp.test']],
  ['https://registry.example.com', 'https://evilcorp.test/token', false, ['corp.test']],
  ['https://registry.example.com', 'https://sso.corp.test:8443/token', true, ['sso.corp.test:8443']],
  ['https://registry.example.com', 'https://sso.corp.test/token', false, ['sso.corp.test:8443']],
];

for (const [registry, realm, expected, realms = []] of TABLE)
  test(`credentials of ${registry} ${expected ? 'may' : 'may not'} go to ${realm}${realms.length > 0 ? ` with realms ${realms.join()}` : ''}`, async () => {
    assert.equal(await realmMayHaveCredentials(new URL(registry), new URL(realm), realms), expected);
  });
