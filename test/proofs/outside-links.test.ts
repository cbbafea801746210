import assert from 'node:assert/strict';
import {randomBytes} from 'node:crypto';
import {mkdtemp, rm, writeFile} from 'node:fs/promises';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {test} from 'node:test';
import {AgentRig} from '../agent-rig.ts';
import {ask} from '../ask.ts';
import {FakeRegistry} from '../fake-registry.ts';

// One registry name may stand for two servers, by path (design §3): neither speaks for the other.

const SECRET = 'a-secret-of-the-node-0123456789';
const PROVEN = {'noost-node-secret': SECRET};

test('a server that only has a path of a registry cannot claim what the rest of it keeps private', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'noost-outside-'));
  const [secretFile, passwordFile] = [join(folder, 'secret'), join(folder, 'password')];
  await writeFile(secretFile, SECRET);
  await writeFile(passwordFile, 'secret');
  await using registry = await FakeRegistry.start({auth: 'basic'});
  await using guest = await FakeRegistry.start();
  const bytes = randomBytes(5000);
  const digest = registry.content.addBlob('private', bytes);
  guest.content.at('guest/x').blobs.set(digest, randomBytes(5000)); // claims it, and does not have it
  const upstreams = [
    {host: 'reg.test', url: registry.url, credentials: {username: 'user', passwordFile}},
    {host: 'reg.test/guest', url: guest.url},
  ];
  await using agent = await AgentRig.start({secretFile, config: {cache: {minFreeDisk: '0%'}, upstreams}});

  const mine = await ask(agent.address, `/v2/private/blobs/${digest}?ns=reg.test`, {headers: PROVEN});
  assert.ok(mine.body.equals(bytes));
  for (const headers of [{}, PROVEN]) {
    const claimed = await ask(agent.address, `/v2/guest/x/blobs/${digest}?ns=reg.test`, {headers});
    assert.equal(claimed.complete, false);
    assert.ok(!claimed.body.includes(bytes.subarray(0, 16)), 'no byte of the private blob leaves');
  }
  await rm(folder, {recursive: true});
});
