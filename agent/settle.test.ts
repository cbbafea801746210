import assert from 'node:assert/strict';
import {setImmediate as turn} from 'node:timers/promises';
import {test, type TestContext} from 'node:test';
import {settle, type SettleParts} from './settle.ts';
import {chunkReceived} from './young.ts';

/** Goes on through all tests, as the time that a body came last does. */
let now = 0;

/** What an agent did by itself, in order, while the time is ours. */
function newStage(
  t: TestContext,
  parts: Partial<SettleParts> = {},
): {readonly did: string[]; readonly pass: (ms: number) => Promise<void>; readonly begin: () => () => Promise<void>} {
  const did: string[] = [];
  const {gc} = globalThis;
  globalThis.gc = ((options: {type: string}) => void did.push(`collected ${options.type}`)) as unknown as typeof gc;
  t.after(() => (globalThis.gc = gc));
  t.mock.method(performance, 'now', () => now);
  t.mock.timers.enable({apis: ['setInterval']});
  const pass = async (ms: number): Promise<void> => {
    for (const until = now + ms; now < until;) {
      await turn();
      now += 100;
      t.mock.timers.tick(100);
    }
    await turn();
  };
  const begin = (): (() => Promise<void>) =>
    settle({
      rehearse: async (pulls) => void did.push(`rehearsed ${pulls > 12 ? 'much' : 'little'}`),
      unmapProgram: async () => void did.push('unmapped'),
      failed: (error) => void did.push(`failed: ${(error as Error).message}`),
      ...parts,
    });
  return {did, pass, begin};
}

const AFTERWARDS = ['collected major', 'rehearsed much', 'unmapped'];

test('an agent rehearses at once; half a second later it collects what starting took, once, and rehearses again', async (t) => {
  const {did, pass, begin} = newStage(t);
  begin();
  await pass(400);
  assert.deepEqual(did, ['rehearsed little']);
  await pass(100);
  assert.deepEqual(did, ['rehearsed little', ...AFTERWARDS]);
  await pass(60_000);
  assert.equal(did.length, 4);
});

test('while bodies arrive it waits, and for five seconds of quiet after them', async (t) => {
  const {did, pass, begin} = newStage(t);
  begin();
  for (let i = 0; i < 10; i++) {
    await pass(100);
    chunkReceived(0);
    await pass(900);
  }
  assert.deepEqual(did, ['rehearsed little']);
  await pass(5_000);
  assert.deepEqual(did, ['rehearsed little', ...AFTERWARDS]);
});

test('the bodies of its own rehearsal are none to wait for', async (t) => {
  const {did, pass, begin} = newStage(t, {rehearse: async () => chunkReceived(0)});
  begin();
  await pass(500);
  assert.deepEqual(did, ['collected major', 'unmapped']);
});

test('a rehearsal that fails keeps nothing else from being done', async (t) => {
  const {did, pass, begin} = newStage(t, {rehearse: () => Promise.reject(new Error('no loopback'))});
  begin();
  await pass(500);
  assert.deepEqual(did, ['failed: no loopback', 'collected major', 'failed: no loopback', 'unmapped']);
});

test('an agent that is to stop waits for the pull under way, and does nothing more', async (t) => {
  const underWay = Promise.withResolvers<void>();
  const {did, pass, begin} = newStage(t, {rehearse: () => underWay.promise});
  const end = begin();
  const ended = end().then(() => did.push('ended'));
  await pass(1000);
  assert.deepEqual(did, []);
  underWay.resolve();
  await ended;
  await pass(60_000);
  assert.deepEqual(did, ['ended']);
});

test('nor for long: a disk may hang', async (t) => {
  const {did, begin} = newStage(t, {rehearse: () => new Promise(() => {})});
  await begin()();
  assert.deepEqual(did, []);
});
