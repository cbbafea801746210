import assert from 'node:assert/strict';
import {mkdtemp, rm, writeFile} from 'node:fs/promises';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {test} from 'node:test';
import {askCredentialHelper} from './credential-helper.ts';

async function ask(script: string, timeoutMs?: number): Promise<unknown> {
  const dir = await mkdtemp(join(tmpdir(), 'noost-helper-'));
  const helper = join(dir, 'helper');
  await writeFile(helper, `#!/bin/sh\n${script}\n`, {mode: 0o755});
  try {
    return await askCredentialHelper(helper, 'reg.test', timeoutMs);
  } finally {
    await rm(dir, {recursive: true});
  }
}

test('a helper is told `get` and the server, and its answer is a login', async () => {
  const found = await ask('read server; echo "{\\"Username\\":\\"$1\\",\\"Secret\\":\\"$server\\"}"');
  assert.deepEqual(found, {username: 'get', password: 'reg.test', identityToken: undefined, registryToken: undefined});
});

test('the username <token> makes the secret an identity token (C-023)', async () => {
  const found = await ask(`echo '{"Username":"<token>","Secret":"t"}'`);
  assert.deepEqual(found, {username: '<token>', password: '', identityToken: 't', registryToken: undefined});
});

test('a helper that has none says so by its text', async () => {
  assert.equal(await ask('echo "credentials not found in native keychain"; exit 1'), undefined);
});

for (const [name, script, message] of [
  ['fails', 'echo secret; exit 3', /ended with 3/],
  ['hangs', 'echo secret; exec sleep 60', /signal or a timeout/],
  ['talks without end', 'yes secret', /signal or a timeout/],
  ['does not speak JSON', 'echo secret', /did not answer JSON/],
] as const)
  test(`a helper that ${name} is an error without its output`, async () => {
    await assert.rejects(
      ask(script, 1000),
      (error: Error) => message.test(error.message) && !error.message.includes('secret'),
    );
  });

for (const name of ['../evil', 'a b', '', 'a;b', '-x'])
  test(`'${name}' is not run`, async () => {
    await assert.rejects(askCredentialHelper(name, 'reg.test'), /Not the name/);
  });

test('a helper that is not there is an error', async () => {
  await assert.rejects(askCredentialHelper('noost-no-such-helper', 'reg.test'), /could not be run/);
});
