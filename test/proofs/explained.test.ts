import assert from 'node:assert/strict';
import {after, before, beforeEach, test} from 'node:test';
import {AgentRig} from '../agent-rig.ts';
import {ask} from '../ask.ts';
import {FakeRegistry} from '../fake-registry.ts';
import {poll} from '../poll.ts';

// What log, metrics and messages say of a pull is what happened (design §1.8).

let registry: FakeRegistry;
let agent: AgentRig;
before(async () => {
  registry = await FakeRegistry.start();
  agent = await AgentRig.start({config: {upstreams: [{host: 'up.test', url: registry.url, freshFor: '0s'}]}});
});
after(async () => {
  await agent[Symbol.asyncDispose]();
  await registry[Symbol.asyncDispose]();
});
beforeEach(() => {
  registry.clear();
});

/** The access line of the request with this id. */
async function accessLine(id: string): Promise<Readonly<Record<string, unknown>>> {
  await poll('the access line', () => agent.log.some((line) => line['id'] === id));
  return agent.log.find((line) => line['id'] === id) ?? {};
}

test('a manifest that was fetched by its tag is not counted as saved, and the next one is', async () => {
  const {bytes} = registry.content.addImage('team/saved', 'v1', ['saved']);
  const saved = async (): Promise<number> => agent.metric('noost_upstream_saved_bytes_total');
  const atStart = await saved();
  await ask(agent.address, '/v2/up.test/team/saved/manifests/v1', {headers: {'x-request-id': 'cold'}});
  assert.equal((await accessLine('cold'))['source'], 'upstream');
  assert.equal(await saved(), atStart);
  await ask(agent.address, '/v2/up.test/team/saved/manifests/v1', {headers: {'x-request-id': 'warm'}});
  assert.equal((await accessLine('warm'))['source'], 'cache');
  assert.equal(await saved(), atStart + bytes.length);
});

test('an answer that the agent breaks off names the registry and is not laid to the client', async () => {
  const {layers} = registry.content.addImage('team/broken', 'v1', [Buffer.alloc(200_000, 'x')]);
  registry.fail({kind: 'corrupt'}, {path: /blobs/});
  const path = `/v2/up.test/team/broken/blobs/${layers[0] ?? ''}`;
  const answer = await ask(agent.address, path, {headers: {'x-request-id': 'broken'}});
  assert.equal(answer.complete, false);
  const line = await accessLine('broken');
  assert.equal(line['reason'], 'up.test sent something else than what was asked for');
  assert.deepEqual([line['brokenOff'], line['aborted']], [true, undefined]);
  assert.equal(await agent.metric('noost_client_aborts_total'), 0);
});

test('a client that leaves before there is an answer is counted as 499, and never as 200', async () => {
  const {layers} = registry.content.addImage('team/left', 'v1', ['left']);
  registry.fail({kind: 'hang'}, {path: /blobs/});
  const left = fetch(`${agent.url}/v2/up.test/team/left/blobs/${layers[0] ?? ''}`, {
    headers: {'x-request-id': 'left'},
    signal: AbortSignal.timeout(300),
  });
  await assert.rejects(left);
  assert.deepEqual([(await accessLine('left'))['status'], (await accessLine('left'))['aborted']], [499, true]);
});

test('a client that leaves in the middle of an answer is no error of ours', async () => {
  const digest = registry.content.addBlob('team/middle', Buffer.alloc(32 << 20, 'm')); // more than sockets hold
  const path = `/v2/up.test/team/middle/blobs/${digest}`;
  await ask(agent.address, path, {keep: false});
  const ids = Array.from({length: 10}, (_, at) => `middle-${at}`);
  for (const id of ids)
    await ask(agent.address, path, {leaveAfter: 100_000, keep: false, headers: {'x-request-id': id}});
  for (const id of ids) {
    const {result, status, aborted} = await accessLine(id);
    assert.deepEqual({result, status, aborted}, {result: 'hit', status: 200, aborted: true});
  }
});

test('a HEAD of the upstream that says a manifest is empty is not believed (C-056)', async () => {
  const {bytes} = registry.content.addImage('team/empty', 'v1', ['empty']);
  const path = '/v2/up.test/team/empty/manifests/v1';
  await ask(agent.address, path);
  registry.clear();
  registry.fail({kind: 'empty'}, {method: 'HEAD'});
  const answer = await ask(agent.address, path, {method: 'HEAD'});
  assert.deepEqual([answer.status, answer.headers['content-length']], [200, String(bytes.length)]);
  assert.deepEqual(registry.lines(), ['HEAD /v2/team/empty/manifests/v1', 'GET /v2/team/empty/manifests/v1']);
});

test('who pushes is told that images of upstreams are read-only (A-114)', async () => {
  const answer = await ask(agent.address, '/v2/up.test/team/app/blobs/uploads/', {method: 'POST'});
  assert.equal(answer.status, 405);
  assert.match(answer.body.toString(), /UNSUPPORTED.*push to the registry itself/);
  assert.deepEqual(registry.lines(), []);
});

// Last, because the agent then leaves this registry alone for a while.
test('each stale answer is one in the metric, however many share the question', async () => {
  registry.content.addImage('team/stale', 'v1', ['stale']);
  const path = '/v2/up.test/team/stale/manifests/v1';
  await ask(agent.address, path);
  registry.fail({kind: 'status', status: 429}, {path: /stale/, times: Infinity});
  const answers = await Promise.all(Array.from({length: 5}, async () => ask(agent.address, path, {method: 'HEAD'})));
  assert.deepEqual(
    answers.map(({headers}) => headers['noost-cache']),
    answers.map(() => 'stale'),
  );
  const stale = async (): Promise<number> => agent.metric('noost_stale_responses_total', {reason: 'tooManyRequests'});
  await poll('all are counted', async () => (await stale()) === answers.length);
});
