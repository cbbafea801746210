import assert from 'node:assert/strict';
import {randomBytes} from 'node:crypto';
import {after, before, test} from 'node:test';
import {AgentRig} from '../agent-rig.ts';
import {ask} from '../ask.ts';
import type {Fault} from '../fake-fault.ts';
import {FakeRegistry} from '../fake-registry.ts';

// The beginning of a blob leaves from memory while it is written. Here the disk takes nothing at all: what was sent has never
// been in a file, and the rest passes through. Even then a client never sees a complete answer with wrong bytes (design §1.3).

let registry: FakeRegistry;
let agent: AgentRig;

before(async () => {
  registry = await FakeRegistry.start();
  agent = await AgentRig.start({
    config: {cache: {minFreeDisk: '0%'}, upstreams: [{host: 'up.test', url: registry.url}]},
    env: {NOOST_FAULT: 'store.append=ENOSPC'},
  });
});
after(async () => {
  await agent[Symbol.asyncDispose]();
  await registry[Symbol.asyncDispose]();
});

const SIZE = 300_000;

const CASES: readonly (readonly [
  what: string,
  fault: Fault | undefined,
  headers: Record<string, string>,
  seen: string,
])[] = [
  ['a right source', undefined, {}, 'right'],
  ['a right source, the beginning asked for', undefined, {range: 'bytes=0-99999'}, 'right'],
  ['a right source, another part asked for', undefined, {range: 'bytes=1000-99999'}, 'right'],
  ['a source that was wrong in its first bytes, and only the first time', {kind: 'corrupt', at: 1000}, {}, 'cut'],
  ['the same, and a part asked for', {kind: 'corrupt', at: 1000}, {range: 'bytes=0-99999'}, 'cut'],
  ['a source that was wrong in its last byte, and only the first time', {kind: 'corrupt', at: SIZE - 1}, {}, 'right'],
];

for (const [what, fault, headers, seen] of CASES)
  test(`a disk that takes nothing, and ${what}: ${seen} for the client`, async () => {
    registry.clear();
    const bytes = randomBytes(SIZE);
    const digest = registry.content.addBlob('app', bytes);
    if (fault !== undefined) registry.fail(fault, {path: /blobs/, times: 1});
    const answer = await ask(agent.address, `/v2/app/blobs/${digest}?ns=up.test`, {headers});
    const [, from = '0', to = String(SIZE - 1)] = /^bytes=(\d+)-(\d+)$/.exec(headers['range'] ?? '') ?? [];
    const wanted = bytes.subarray(Number(from), Number(to) + 1);
    if (seen === 'right') {
      assert.ok(
        answer.complete && answer.body.equals(wanted),
        `${answer.bodyBytes} bytes, ${answer.error ?? 'no error'}`,
      );
    } else assert.equal(answer.complete, false, `${answer.bodyBytes} bytes`);
    const ranges = registry.requests.filter(({url}) => url.includes(digest)).map((request) => request.headers['range']);
    assert.equal(ranges.length, 2, 'the disk was tried once');
    assert.match(ranges[1] ?? '', /^bytes=[1-9]\d*-$/, 'what had been sent is not fetched again');
  });
