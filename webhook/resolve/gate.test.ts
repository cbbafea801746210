import assert from 'node:assert/strict';
import {test} from 'node:test';
import {BusyError, Gate, type GateLimits, type Turn} from './gate.ts';

const LIMITS: GateLimits = {perRegistry: 2, perStranger: 2, perTenant: 100, inAll: 1000};
const never = new AbortController().signal;

/** A gate whose questions are answered when the test says so. */
class GateRig {
  readonly gate: Gate;
  /** Questions that were begun, in that order. */
  readonly begun: string[] = [];
  readonly #answers = new Map<string, PromiseWithResolvers<void>>();

  constructor(limits: Partial<GateLimits> = {}) {
    this.gate = new Gate({...LIMITS, ...limits});
  }

  ask(name: string, registry = 'a.example', tenant = 'team-a', signal = never): {turn: Turn; done: Promise<string>} {
    const turn = this.gate.turn(registry);
    turn.wantedBy(tenant);
    const answer = Promise.withResolvers<void>();
    this.#answers.set(name, answer);
    const ask = async (): Promise<string> => {
      this.begun.push(name);
      await answer.promise;
      return name;
    };
    const done = turn.run(signal, ask, () => false);
    done.catch(() => undefined);
    return {turn, done};
  }

  async answer(...names: readonly string[]): Promise<void> {
    for (const name of names) this.#answers.get(name)?.resolve();
    await new Promise(setImmediate);
  }

  async hang(name: string): Promise<void> {
    this.#answers.get(name)?.reject(new Error('hung'));
    await new Promise(setImmediate);
  }
}

test('at most so many at a time, in their order; another registry is not held up', async () => {
  const rig = new GateRig();
  for (const name of ['1', '2', '3', '4']) rig.ask(name);
  rig.ask('other', 'b.example');
  await rig.answer();
  assert.deepEqual(rig.begun, ['1', '2', 'other']);
  await rig.answer('2');
  assert.deepEqual(rig.begun, ['1', '2', 'other', '3']);
  await rig.answer('1', '3');
  assert.deepEqual(rig.begun, ['1', '2', 'other', '3', '4']);
});

test('a registry that has not answered yet gets fewer, and so does one that no longer answers', async () => {
  const rig = new GateRig({perRegistry: 3, perStranger: 1});
  for (const name of ['1', '2', '3', '4', '5', '6']) rig.ask(name);
  await rig.answer();
  assert.deepEqual(rig.begun, ['1']);
  await rig.answer('1');
  assert.deepEqual(rig.begun, ['1', '2', '3', '4']);
  await rig.hang('2');
  assert.deepEqual(rig.begun, ['1', '2', '3', '4']);
  await rig.hang('3');
  assert.deepEqual(rig.begun, ['1', '2', '3', '4']);
  await rig.answer('4');
  assert.deepEqual(rig.begun, ['1', '2', '3', '4', '5', '6']);
});

test('tenants take turns: who came later with one question is not behind a hundred of another', async () => {
  const rig = new GateRig({perRegistry: 1, perStranger: 1});
  for (let i = 0; i < 100; i++) rig.ask(`evil-${String(i)}`, 'a.example', 'evil');
  rig.ask('mine', 'a.example', 'team-a');
  await rig.answer('evil-0');
  await rig.answer('evil-1');
  assert.deepEqual(rig.begun.slice(0, 3), ['evil-0', 'evil-1', 'mine']);
});

test('within a tenant registries take turns', async () => {
  const rig = new GateRig({perTenant: 1});
  for (const name of ['a1', 'a2', 'a3']) rig.ask(name, 'a.example');
  for (const name of ['b1', 'b2', 'b3']) rig.ask(name, 'b.example');
  for (const name of ['a1', 'a2', 'b1', 'a3', 'b2', 'b3']) {
    await rig.answer();
    assert.equal(rig.begun.at(-1), name);
    await rig.answer(name);
  }
});

test('a tenant who names many registries that hang holds no more than his share', async () => {
  const rig = new GateRig({perTenant: 8});
  for (let i = 0; i < 100; i++) rig.ask(`evil-${String(i)}`, `evil-${String(i)}.example`, 'evil');
  rig.ask('mine', 'a.example', 'team-a');
  await rig.answer();
  assert.deepEqual([rig.begun.length, rig.begun.at(-1)], [9, 'mine']);
});

test('all together have a bound, too, and take turns in it', async () => {
  const rig = new GateRig({inAll: 3});
  for (const tenant of ['a', 'b', 'c', 'd']) {
    rig.ask(`${tenant}1`, `${tenant}.example`, tenant);
    rig.ask(`${tenant}2`, `${tenant}.example`, tenant);
  }
  await rig.answer();
  assert.deepEqual(rig.begun, ['a1', 'a2', 'b1']);
  await rig.answer('a1', 'a2', 'b1');
  assert.deepEqual(rig.begun.slice(3).toSorted(), ['b2', 'c1', 'd1']);
});

test('who joins a question that waits lends it his own place', async () => {
  const rig = new GateRig({perRegistry: 1, perStranger: 1});
  for (let i = 0; i < 20; i++) rig.ask(`evil-${String(i)}`, 'a.example', 'evil');
  const {turn} = rig.ask('shared', 'a.example', 'evil');
  turn.wantedBy('team-a');
  await rig.answer('evil-0');
  await rig.answer('evil-1');
  assert.ok(rig.begun.includes('shared'), rig.begun.join());
  for (let i = 2; i < 20; i++) await rig.answer(`evil-${String(i)}`);
  await rig.answer('shared');
  assert.equal(rig.begun.filter((name) => name === 'shared').length, 1);
});

test('who leaves the queue takes no place', async () => {
  const rig = new GateRig({perRegistry: 1, perStranger: 1});
  rig.ask('1');
  const leaving = new AbortController();
  const {done} = rig.ask('2', 'a.example', 'team-a', leaving.signal);
  const third = rig.ask('3');
  leaving.abort(new Error('left'));
  await assert.rejects(done, BusyError);
  await rig.answer('1', '3');
  assert.equal(await third.done, '3');
  assert.deepEqual(rig.begun, ['1', '3']);
  const last = rig.ask('5');
  await rig.answer('5');
  assert.equal(await last.done, '5');
});

test('a question that fails gives its place back', async () => {
  const rig = new GateRig({perRegistry: 1, perStranger: 1});
  const {done} = rig.ask('1');
  await rig.hang('1');
  await assert.rejects(done, /hung/);
  const next = rig.ask('2');
  await rig.answer('2');
  assert.equal(await next.done, '2');
});
