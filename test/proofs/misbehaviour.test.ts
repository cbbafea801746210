import assert from 'node:assert/strict';
import {randomBytes} from 'node:crypto';
import {after, before, test} from 'node:test';
import {AgentRig} from '../agent-rig.ts';
import {ask} from '../ask.ts';
import {FakeRegistry} from '../fake-registry.ts';
import type {Fault} from '../fake-fault.ts';

// Proof 4: the upstream misbehaves in each way of cache-peers §7 and protocol D. The client gets what design §4.5
// says, nothing wrong is stored, and the next good pull works.

let registry: FakeRegistry;
let agent: AgentRig;

before(async () => {
  registry = await FakeRegistry.start();
  agent = await AgentRig.start({
    config: {cache: {minFreeDisk: '0%'}, upstreams: [{host: 'up.test', url: registry.url, freshFor: '0s'}]},
  });
});
after(async () => {
  await agent[Symbol.asyncDispose]();
  await registry[Symbol.asyncDispose]();
});

const SIZE = 300_000;
/** A blob of its own for each test, so that none is answered by another's. */
const newBlob = (): {path: string; digest: string; bytes: Buffer} => {
  const bytes = randomBytes(SIZE);
  const digest = registry.content.addBlob('app', bytes);
  return {path: `/v2/app/blobs/${digest}?ns=up.test`, digest, bytes};
};

/** What a client may see: never a complete answer with other bytes. */
type Seen = 'right' | 'error' | 'cut';

const BLOB_FAULTS: readonly (readonly [string, Fault, number, Seen])[] = [
  ['401', {kind: 'status', status: 401}, Infinity, 'error'],
  ['403', {kind: 'status', status: 403}, Infinity, 'error'],
  ['404', {kind: 'status', status: 404}, Infinity, 'error'],
  ['408', {kind: 'status', status: 408}, Infinity, 'error'],
  ['429', {kind: 'status', status: 429, headers: {'retry-after': '1'}}, 1, 'error'],
  ['500 for ever', {kind: 'status', status: 500}, Infinity, 'error'],
  ['500 once', {kind: 'status', status: 500}, 1, 'right'],
  ['503 once', {kind: 'status', status: 503}, 1, 'right'],
  ['a reset once', {kind: 'reset'}, 1, 'right'],
  ['resets for ever', {kind: 'reset'}, Infinity, 'error'],
  ['closing without an answer', {kind: 'close'}, Infinity, 'error'],
  ['a body cut in the middle', {kind: 'truncate', after: 1000}, 1, 'right'],
  ['a body reset in the middle', {kind: 'truncate', after: 1000, how: 'rst'}, 1, 'right'],
  ['bodies cut at the start for ever', {kind: 'truncate', after: 0}, Infinity, 'cut'],
  ['one wrong byte', {kind: 'corrupt', at: 1000}, 1, 'cut'],
  ['a wrong last byte', {kind: 'corrupt', at: SIZE - 1}, 1, 'cut'],
  ['a length that is too large', {kind: 'wrongLength', by: 10}, 1, 'cut'],
  ['a length that is too small', {kind: 'wrongLength', by: -10}, 1, 'cut'],
  ['no length', {kind: 'noLength'}, 1, 'right'],
  ['an empty body', {kind: 'empty'}, 1, 'error'],
  ['a login page with 200', {kind: 'html'}, 1, 'cut'],
  ['Content-Encoding gzip on raw bytes', {kind: 'gzip'}, 1, 'right'],
  ['a redirect loop', {kind: 'status', status: 307, headers: {location: '/v2/app/blobs/x'}}, Infinity, 'error'],
  [
    'a redirect to link-local',
    {kind: 'status', status: 307, headers: {location: 'http://169.254.169.254/latest'}},
    1,
    'error',
  ],
  ['a redirect without Location', {kind: 'status', status: 307}, 1, 'error'],
];

for (const [what, fault, times, seen] of BLOB_FAULTS)
  test(
    `a blob whose upstream answers ${what} is ${seen} for the client, and right the next time`,
    {timeout: 60_000},
    async () => {
      registry.clear();
      const {path, digest, bytes} = newBlob();
      registry.fail(fault, {path: /blobs/, times});
      const first = await ask(agent.address, path);
      assertSeen(first, seen, digest);
      if (first.status >= 400) {
        assert.notEqual(first.status, 408, 'containerd repeats 408 at once (P-03)');
        assert.notEqual(first.status, 429, 'containerd repeats 429 at once (P-03)');
        assert.equal(first.headers['www-authenticate'], undefined, 'no challenge is relayed (P-16)');
        const body = JSON.parse(first.body.toString()) as {errors: {code: string; message: string}[]};
        assert.match(body.errors[0]?.message ?? '', /up\.test|upstream/, 'the message names the upstream (P-29)');
      }
      await goodPull(path, bytes);
    },
  );

async function goodPull(path: string, bytes: Buffer): Promise<void> {
  registry.clear();
  // A breaker or a remembered Retry-After may stand for a moment; a runtime comes back as well.
  for (let tries = 0; tries < 40; tries++) {
    const again = await ask(agent.address, path);
    if (again.status === 200) {
      assert.equal(again.complete, true);
      assert.ok(again.body.equals(bytes));
      const warm = await ask(agent.address, path);
      assert.ok(warm.body.equals(bytes), 'what was kept is right');
      return;
    }
    await new Promise((resolve) => setTimeout(resolve, 500));
  }
  assert.fail('the next good pull never worked');
}

function assertSeen(answer: Awaited<ReturnType<typeof ask>>, seen: Seen, digest: string): void {
  const is: Seen =
    answer.status >= 400
      ? 'error'
      : answer.status === 200 && !answer.complete
        ? 'cut'
        : answer.digest === digest
          ? 'right'
          : ('WRONG' as Seen);
  assert.equal(is, seen, `status ${answer.status}, ${answer.bodyBytes} bytes, ${answer.error ?? 'no error'}`);
}

test('a blob without a length whose bytes are wrong is never ended properly', async () => {
  registry.clear();
  const bytes = randomBytes(SIZE);
  const digest = registry.content.addBlob('app', bytes);
  registry.content
    .at('app')
    .blobs.set(digest, Buffer.concat([bytes.subarray(0, -1), Buffer.from([(bytes.at(-1) ?? 0) ^ 1])]));
  registry.fail({kind: 'noLength'}, {path: /blobs/, times: Infinity});
  const answer = await ask(agent.address, `/v2/app/blobs/${digest}?ns=up.test`);
  assert.equal(answer.complete, false);
});

test('a range of a blob whose bytes are wrong is never complete either', async () => {
  registry.clear();
  const {path} = newBlob();
  registry.fail({kind: 'corrupt', at: SIZE - 1}, {path: /blobs/, times: Infinity});
  const answer = await ask(agent.address, path, {headers: {range: 'bytes=0-99'}});
  assert.equal(answer.status, 206);
  assert.equal(answer.complete, false);
});

test('a mirror that sends wrong bytes does not keep the registry from being asked the next time', async () => {
  await using mirror = await FakeRegistry.start();
  await using other = await AgentRig.start({
    config: {cache: {minFreeDisk: '0%'}, upstreams: [{host: 'up.test', url: registry.url, mirrors: [mirror.url]}]},
  });
  registry.clear();
  const {path, bytes, digest} = newBlob();
  mirror.content.at('app').blobs.set(digest, randomBytes(SIZE));
  assert.equal((await ask(other.address, path)).complete, false);
  const again = await ask(other.address, path);
  assert.ok(again.body.equals(bytes));
  assert.deepEqual(mirror.lines(), [`GET /v2/app/blobs/${digest}?ns=up.test`]);
});

test(
  'an upstream that hangs is answered 503 well before a runtime gives up, and others are served meanwhile',
  {timeout: 60_000},
  async () => {
    registry.clear();
    const hung = newBlob();
    const good = newBlob();
    registry.fail({kind: 'hang'}, {path: hung.digest, times: Infinity});
    const started = performance.now();
    const waiting = ask(agent.address, hung.path);
    assert.ok((await ask(agent.address, good.path)).body.equals(good.bytes));
    const answer = await waiting;
    assert.equal(answer.status, 503);
    assert.ok(performance.now() - started < 25_000, 'containerd 2.3 gives up after 30 s (P-01)');
  },
);

const MANIFEST_FAULTS: readonly (readonly [string, Fault, number])[] = [
  ['404', {kind: 'status', status: 404}, 404],
  ['401', {kind: 'status', status: 401}, 404],
  ['500', {kind: 'status', status: 500}, 503],
  ['a login page with 200', {kind: 'html'}, 503],
  ['wrong bytes', {kind: 'corrupt', at: 10}, 503],
  ['a body without end', {kind: 'huge', bytes: 64 << 20}, 503],
  ['a reset', {kind: 'reset'}, 503],
  ['a body that is cut', {kind: 'truncate', after: 10}, 503],
];

for (const [what, fault, status] of MANIFEST_FAULTS)
  test(`a manifest by digest whose upstream sends ${what} is answered ${status}`, {timeout: 60_000}, async () => {
    await using fresh = await FakeRegistry.start();
    await using other = await AgentRig.start({
      config: {cache: {minFreeDisk: '0%'}, upstreams: [{host: 'up.test', url: fresh.url}]},
    });
    const image = fresh.content.addImage('app', 'v1', [randomBytes(100)]);
    fresh.fail(fault, {path: /manifests/, times: Infinity});
    const answer = await ask(other.address, `/v2/app/manifests/${image.digest}?ns=up.test`);
    assert.equal(answer.status, status);
    fresh.clear();
    for (let tries = 0; ; tries++) {
      const again = await ask(other.address, `/v2/app/manifests/${image.digest}?ns=up.test`);
      if (again.status === 200) {
        assert.ok(again.body.equals(image.bytes));
        break;
      }
      assert.ok(tries < 90, 'the next good pull never worked');
      await new Promise((resolve) => setTimeout(resolve, 500));
    }
  });
