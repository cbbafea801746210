import assert from 'node:assert/strict';
import {readdirSync} from 'node:fs';
import {join} from 'node:path';
import {test} from 'node:test';
import {AgentRig} from '../agent-rig.ts';
import {ask} from '../ask.ts';
import {FakeRegistry} from '../fake-registry.ts';
import {poll} from '../poll.ts';

// What an agent does by itself when it has started: to be seen in how it goes on, and nowhere else.

/** Resolves when the agent has given back what starting took, which is the end of it. */
async function settled(agent: AgentRig): Promise<void> {
  const before = (await agent.usage()).residentBytes;
  await poll('the agent gives back what starting took', async () => {
    return (await agent.usage()).residentBytes < before - 10e6;
  });
}

test('neither log, metrics, cache nor upstreams know of the rehearsal, and the first pull is one like others', async () => {
  await using registry = await FakeRegistry.start();
  const image = registry.content.addImage('team/app', 'v1', ['layer']);
  await using agent = await AgentRig.start({config: {upstreams: [{host: 'up.test', url: registry.url}]}});
  await settled(agent);
  for (const name of ['requests_total', 'upstream_requests_total', 'upstream_bytes_total', 'fill_failures_total'])
    assert.equal(await agent.metric(`noost_${name}`), 0, name);
  for (const kind of ['digest_mismatch_total', 'store_failures_total', 'quarantined_total', 'cache_objects'])
    assert.equal(await agent.metric(`noost_${kind}`), 0, kind);
  assert.deepEqual(
    agent.log.filter(({level, msg}) => level !== 'info' || msg === 'access'),
    [],
  );
  assert.deepEqual(registry.requests, []);
  assert.deepEqual(readdirSync(join(agent.dataDir, 'ingest')), []);
  const [layer = ''] = image.layers;
  const answer = await ask(agent.address, `/v2/team/app/blobs/${layer}?ns=up.test`);
  assert.equal(answer.status, 200);
  await poll('the blob is kept', async () => (await agent.metric('noost_cache_objects', {kind: 'blob'})) === 1);
});

test('an agent that has served nothing has hashed: its hash thread is there', async () => {
  await using agent = await AgentRig.start();
  await using without = await AgentRig.start({env: {NOOST_FAULT: 'none.such=EIO'}});
  await settled(without); // and the other before it
  const threads = await Promise.all([agent, without].map(async (each) => (await each.usage()).threads));
  assert.equal(threads[0], (threads[1] ?? 0) + 1);
});

test('an agent that is to stop while it rehearses stops', async () => {
  await using agent = await AgentRig.start();
  await agent.stop();
  assert.equal(agent.status, 0);
  assert.deepEqual(readdirSync(join(agent.dataDir, 'ingest')), []);
});
