import assert from 'node:assert/strict';
import type {LookupAddress} from 'node:dns';
import {test} from 'node:test';
import {setImmediate as nextTurn} from 'node:timers/promises';
import {Lookups} from './lookups.ts';

const FOUND: readonly LookupAddress[] = [{address: '192.0.2.1', family: 4}];

/** A name server that answers when it is told to; of names that it does not know it says nothing, ever. */
class NameServer {
  readonly asked: string[] = [];
  readonly known = new Set<string>();
  readonly silent: PromiseWithResolvers<readonly LookupAddress[]>[] = [];
  readonly resolve = (hostname: string): Promise<readonly LookupAddress[]> => {
    this.asked.push(hostname);
    if (this.known.has(hostname)) return Promise.resolve(FOUND);
    const pending = Promise.withResolvers<readonly LookupAddress[]>();
    this.silent.push(pending);
    return pending.promise;
  };
}

/** Asks for names that nobody answers for. */
function hang(lookups: Lookups, count: number): void {
  for (let i = 0; i < count; i++) lookups.find(`silent-${i}.example`).catch(() => undefined);
}

test('a name that had an address is found however many others get no answer', async () => {
  const server = new NameServer();
  server.known.add('docker.io');
  const lookups = new Lookups(server.resolve);
  assert.deepEqual(await lookups.find('docker.io'), FOUND);
  hang(lookups, 100);
  for (let i = 0; i < 10; i++) assert.deepEqual(await lookups.find('docker.io'), FOUND);
});

test('names without an answer take three threads at most', async () => {
  const server = new NameServer();
  hang(new Lookups(server.resolve), 100);
  await nextTurn();
  assert.equal(server.asked.length, 3);
});

test('a name is asked for once, however many want it at one time', async () => {
  const server = new NameServer();
  const lookups = new Lookups(server.resolve);
  const wanted = Array.from({length: 50}, () => lookups.find('slow.example'));
  await nextTurn();
  assert.deepEqual(server.asked, ['slow.example']);
  server.silent[0]?.resolve(FOUND);
  assert.deepEqual(await Promise.all(wanted), Array(50).fill(FOUND));
  void lookups.find('slow.example');
  assert.equal(server.asked.length, 2, 'its answer is not kept: it may point elsewhere the next time (D-013)');
});

test('a name that fails has to wait with the strangers again', async () => {
  const server = new NameServer();
  server.known.add('docker.io').add('turned.example');
  const lookups = new Lookups(server.resolve);
  await Promise.all(['docker.io', 'turned.example'].map((name) => lookups.find(name)));
  server.known.delete('turned.example');
  const failed = lookups.find('turned.example');
  server.silent[0]?.reject(new Error('EAI_AGAIN'));
  await assert.rejects(failed, /EAI_AGAIN/);
  hang(lookups, 3);
  lookups.find('turned.example').catch(() => undefined);
  await nextTurn();
  assert.equal(server.asked.filter((name) => name === 'turned.example').length, 2);
});
