import assert from 'node:assert/strict';
import {test} from 'node:test';
import {proxyFor} from './proxy.ts';

const PROXY = 'http://proxy:3128';

for (const [url, noProxy, expected] of [
  ['https://ghcr.io', '', PROXY],
  ['https://ghcr.io', 'ghcr.io', undefined],
  ['https://ghcr.io', 'GHCR.IO', undefined],
  ['https://ghcr.io', 'io', undefined],
  ['https://ghcr.io', 'hcr.io', PROXY],
  ['https://pkg.ghcr.io', 'ghcr.io', undefined],
  ['https://pkg.ghcr.io', '.ghcr.io', undefined],
  ['https://pkg.ghcr.io', '*.ghcr.io', undefined],
  ['https://ghcr.io', '.ghcr.io', PROXY],
  ['https://ghcr.io', 'a, *', undefined],
  ['https://ghcr.io:5000', 'ghcr.io:5000', undefined],
  ['https://ghcr.io', 'ghcr.io:5000', PROXY],
  ['https://ghcr.io', 'ghcr.io:443', undefined],
  ['https://10.1.2.3', '10.0.0.0/8', undefined],
  ['https://11.1.2.3', '10.0.0.0/8', PROXY],
  ['https://10.1.2.3', '10.1.2.3', undefined],
  ['https://10.1.2.3:5000', '10.1.2.3:5000', undefined],
  ['https://[fd00::1]', 'fd00::/8', undefined],
  ['https://[fd00::1]', 'fd00::1', undefined],
  ['https://10.1.2.3', 'nonsense/99,10.1.2.3/33', PROXY],
  ['https://localhost:5000', '', undefined],
  ['https://127.0.0.1:5000', '', undefined],
] as const)
  test(`proxyFor ${url} with NO_PROXY=${noProxy} is ${expected ?? 'direct'}`, () => {
    assert.equal(proxyFor(new URL(url), {HTTPS_PROXY: PROXY, NO_PROXY: noProxy}), expected);
  });

test('proxyFor takes lower case first, HTTP_PROXY for http, and a proxy without a scheme', () => {
  assert.equal(proxyFor(new URL('https://a.example'), {HTTPS_PROXY: PROXY, https_proxy: 'p:1'}), 'http://p:1');
  assert.equal(proxyFor(new URL('http://a.example'), {HTTPS_PROXY: PROXY}), undefined);
  assert.equal(proxyFor(new URL('http://a.example'), {http_proxy: PROXY}), PROXY);
});
