import assert from 'node:assert/strict';
import {randomBytes} from 'node:crypto';
import {setTimeout as delay} from 'node:timers/promises';
import {test} from 'node:test';
import {AgentRig} from '../agent-rig.ts';
import {ask} from '../ask.ts';
import {FakeRegistry} from '../fake-registry.ts';
import {poll} from '../poll.ts';

// Proof 6: tags are fresh, revalidated, moved, deleted, stale while the upstream is down or at its limit, offline, negative.

interface Rig extends AsyncDisposable {
  readonly registry: FakeRegistry;
  readonly agent: AgentRig;
}

async function rig(upstream: Readonly<Record<string, unknown>> = {}): Promise<Rig> {
  await using stack = new AsyncDisposableStack();
  const registry = stack.use(await FakeRegistry.start());
  const config = {cache: {minFreeDisk: '0%'}, upstreams: [{host: 'up.test', url: registry.url, ...upstream}]};
  const agent = stack.use(await AgentRig.start({config}));
  const held = stack.move(); // a rig that does not come up leaves nothing behind
  return {registry, agent, [Symbol.asyncDispose]: () => held.disposeAsync()};
}

const TAG = '/v2/app/manifests/v1?ns=up.test';
const tag = (agent: AgentRig, method = 'GET'): ReturnType<typeof ask> => ask(agent.address, TAG, {method});

test('a tag within freshFor is answered without asking the upstream, and says hit', async () => {
  await using both = await rig({freshFor: '1h'});
  const {registry, agent} = both;
  const image = registry.content.addImage('app', 'v1');
  assert.equal((await tag(agent)).headers['docker-content-digest'], image.digest);
  const asked = registry.lines().length;
  for (const method of ['GET', 'HEAD', 'GET']) {
    const again = await tag(agent, method);
    assert.equal(again.headers['docker-content-digest'], image.digest);
    assert.equal(again.headers['content-length'], String(image.bytes.length)); // P-05
    assert.equal(again.headers['noost-cache'], 'hit');
  }
  assert.equal(registry.lines().length, asked);
});

test('a cold tag costs one GET where the client wants the manifest, and one HEAD where it does not (P-17)', async () => {
  await using both = await rig();
  const {registry, agent} = both;
  registry.content.addImage('app', 'v1');
  registry.content.addImage('app', 'v2', ['other']);
  await tag(agent);
  assert.deepEqual(registry.lines(), ['GET /v2/app/manifests/v1']);
  await ask(agent.address, '/v2/app/manifests/v2?ns=up.test', {method: 'HEAD'});
  assert.deepEqual(registry.lines().slice(1), ['HEAD /v2/app/manifests/v2']);
});

test('a tag that is not fresh any more is revalidated with HEAD, and its manifest is not fetched again', async () => {
  await using both = await rig({freshFor: '0s'});
  const {registry, agent} = both;
  const image = registry.content.addImage('app', 'v1');
  await tag(agent);
  registry.clear();
  const again = await tag(agent);
  assert.ok(again.body.equals(image.bytes));
  assert.deepEqual(registry.lines(), ['HEAD /v2/app/manifests/v1']);
});

test('a tag that moved is seen after freshFor, with the bytes of the new manifest', async () => {
  await using both = await rig({freshFor: '0s'});
  const {registry, agent} = both;
  registry.content.addImage('app', 'v1', ['one']);
  await tag(agent);
  const moved = registry.content.addImage('app', 'v1', ['two']);
  const again = await tag(agent);
  assert.equal(again.headers['docker-content-digest'], moved.digest);
  assert.ok(again.body.equals(moved.bytes));
});

test('a tag that was deleted upstream is gone after freshFor', async () => {
  await using both = await rig({freshFor: '0s'});
  const {registry, agent} = both;
  registry.content.addImage('app', 'v1');
  await tag(agent);
  registry.content.at('app').tags.delete('v1');
  assert.equal((await tag(agent)).status, 404);
});

test('a tag that was deleted upstream stays for staleIfError.notFound, where that is configured', async () => {
  await using both = await rig({freshFor: '0s', staleIfError: {notFound: '1h'}});
  const {registry, agent} = both;
  const image = registry.content.addImage('app', 'v1');
  await tag(agent);
  registry.content.at('app').tags.delete('v1');
  const again = await tag(agent);
  assert.ok(again.body.equals(image.bytes));
  assert.equal(again.headers['noost-cache'], 'stale');
});

for (const [what, fault] of [
  ['answers 429', {kind: 'status', status: 429, headers: {'retry-after': '60'}}],
  ['answers 503', {kind: 'status', status: 503}],
  ['answers 500', {kind: 'status', status: 500}],
  ['resets connections', {kind: 'reset'}],
  ['hangs', {kind: 'hang'}],
] as const)
  test(`a known tag is served stale, and says so, while the upstream ${what}`, async () => {
    await using both = await rig({freshFor: '0s'});
    const {registry, agent} = both;
    const image = registry.content.addImage('app', 'v1');
    await tag(agent);
    registry.fail(fault, {times: Infinity});
    const again = await tag(agent);
    assert.equal(again.status, 200);
    assert.ok(again.body.equals(image.bytes));
    assert.equal(again.headers['noost-cache'], 'stale');
    assert.match(String(again.headers['warning']), /^299 - "stale/);
    assert.equal(await agent.metric('noost_stale_responses_total', {upstream: 'up.test'}), 1);
    await poll('the access line', () => agent.log.some((line) => line['result'] === 'stale'));
  });

for (const [failure, fault] of [
  ['serverError', {kind: 'status', status: 503}],
  ['tooManyRequests', {kind: 'status', status: 429}],
  ['down', {kind: 'reset'}],
] as const)
  test(`a known tag is not served while staleIfError.${failure} is 0s`, async () => {
    await using both = await rig({freshFor: '0s', staleIfError: {[failure]: '0s'}});
    const {registry, agent} = both;
    registry.content.addImage('app', 'v1');
    await tag(agent);
    registry.fail(fault, {times: Infinity});
    assert.equal((await tag(agent)).status, 503);
  });

for (const status of [401, 403])
  test(`a known tag is not served stale after ${status}: who was locked out stays out (C-070)`, async () => {
    await using both = await rig({freshFor: '0s'});
    const {registry, agent} = both;
    registry.content.addImage('app', 'v1');
    await tag(agent);
    registry.fail({kind: 'status', status}, {times: Infinity});
    const again = await tag(agent);
    assert.equal(again.status, 404); // so that the runtime asks the registry itself (B-063)
    assert.equal(again.headers['www-authenticate'], undefined);
  });

test('a repository that wants credentials we do not have is answered 404 at once, and asked once in 30 s', async () => {
  await using both = await rig();
  const {registry, agent} = both;
  registry.fail({kind: 'status', status: 401}, {times: Infinity});
  for (const path of [TAG, TAG, '/v2/app/manifests/v2?ns=up.test'])
    assert.equal((await ask(agent.address, path)).status, 404);
  const manifests = registry.lines().filter((line) => line.includes('/manifests/'));
  assert.equal(new Set(manifests).size, 1, manifests.join(', '));
  assert.equal(await agent.metric('noost_without_credentials_total'), 3);
});

test('that there is no such tag is remembered for seconds only', async () => {
  await using both = await rig();
  const {registry, agent} = both;
  registry.content.addImage('app', 'other');
  for (let i = 0; i < 5; i++) assert.equal((await tag(agent)).status, 404);
  assert.equal(registry.lines().length, 1);
  const image = registry.content.addImage('app', 'v1');
  await delay(5_500);
  assert.equal((await tag(agent)).headers['docker-content-digest'], image.digest);
});

test('100 clients that ask for one tag at once are one request to the upstream', async () => {
  await using both = await rig({freshFor: '1h'});
  const {registry, agent} = both;
  for (const method of ['GET', 'HEAD']) {
    const image = registry.content.addImage('app', method, [method]);
    registry.clear();
    registry.fail({kind: 'drip', everyMs: 5, chunkBytes: 20}, {times: Infinity});
    const path = `/v2/app/manifests/${method}?ns=up.test`;
    const answers = await Promise.all(Array.from({length: 100}, () => ask(agent.address, path, {method})));
    assert.ok(answers.every(({headers}) => headers['docker-content-digest'] === image.digest));
    assert.deepEqual(registry.lines(), [`${method} /v2/app/manifests/${method}`]);
  }
});

test('offline, what is known is served stale and nothing is asked; what is not known is 404', async () => {
  await using both = await rig({freshFor: '0s'});
  const {registry, agent} = both;
  const image = registry.content.addImage('app', 'v1', [randomBytes(1000)]);
  await tag(agent);
  const layer = `/v2/app/blobs/${image.layers[0]}?ns=up.test`;
  await ask(agent.address, layer);
  registry.clear();
  await agent.restart({config: {upstreams: [{host: 'up.test', url: registry.url, freshFor: '0s', offline: true}]}});
  const again = await tag(agent);
  assert.ok(again.body.equals(image.bytes));
  assert.equal(again.headers['noost-cache'], 'stale');
  assert.equal((await ask(agent.address, layer)).digest, image.layers[0]);
  assert.equal((await ask(agent.address, '/v2/app/manifests/v2?ns=up.test')).status, 404);
  assert.equal((await ask(agent.address, `/v2/app/blobs/${image.config}?ns=up.test`)).status, 404);
  assert.deepEqual(registry.lines(), []);
});

test('with cache: never everything is asked of the upstream each time, and nothing is kept', async () => {
  await using both = await rig({cache: 'never'});
  const {registry, agent} = both;
  const image = registry.content.addImage('app', 'v1', [randomBytes(1000)]);
  const layer = `/v2/app/blobs/${image.layers[0]}?ns=up.test`;
  for (let i = 0; i < 2; i++) {
    assert.ok((await tag(agent)).body.equals(image.bytes));
    assert.equal((await ask(agent.address, layer)).digest, image.layers[0]);
  }
  assert.equal(registry.lines().filter((line) => line.includes('/blobs/')).length, 2);
  assert.equal(await agent.metric('noost_cache_objects'), 0);
});

test('two upstreams with one repository name do not answer for each other (D-021)', async () => {
  await using one = await FakeRegistry.start();
  await using two = await FakeRegistry.start();
  await using agent = await AgentRig.start({
    config: {
      cache: {minFreeDisk: '0%'},
      upstreams: [
        {host: 'one.test', url: one.url},
        {host: 'two.test', url: two.url},
      ],
    },
  });
  const first = one.content.addImage('app', 'v1', ['one']);
  const second = two.content.addImage('app', 'v1', ['two']);
  assert.equal(
    (await ask(agent.address, '/v2/app/manifests/v1?ns=one.test')).headers['docker-content-digest'],
    first.digest,
  );
  assert.equal(
    (await ask(agent.address, '/v2/app/manifests/v1?ns=two.test')).headers['docker-content-digest'],
    second.digest,
  );
  // A blob of one is not reached through the other: its registry does not have it.
  await ask(agent.address, `/v2/app/blobs/${first.layers[0]}?ns=one.test`);
  assert.equal((await ask(agent.address, `/v2/app/blobs/${first.layers[0]}?ns=two.test`)).status, 404);
});

test('lists of tags page with links that stay on the agent and keep ns (A-027)', async () => {
  await using both = await rig();
  const {registry, agent} = both;
  for (const name of ['a', 'b', 'c']) registry.content.addImage('app', name, [name]);
  const seen: string[] = [];
  let path: string | undefined = '/v2/app/tags/list?n=2&ns=up.test';
  while (path !== undefined) {
    const page = await ask(agent.address, path);
    assert.equal(page.status, 200);
    seen.push(...(JSON.parse(page.body.toString()) as {tags: string[]}).tags);
    path = /^<([^>]+)>; rel="next"$/.exec(String(page.headers['link'] ?? ''))?.[1];
  }
  assert.deepEqual(seen, ['a', 'b', 'c']);
});

test('referrers of an upstream without that API are 404, so that clients use the fallback tag (A-106)', async () => {
  await using both = await rig();
  const {registry, agent} = both;
  const image = registry.content.addImage('app', 'v1');
  registry.referrersApi = false;
  assert.equal((await ask(agent.address, `/v2/app/referrers/${image.digest}?ns=up.test`)).status, 404);
});
