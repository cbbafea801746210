import assert from 'node:assert/strict';
import {test} from 'node:test';
import {Pace} from './pace.ts';

const MIB = 1 << 20;

/** A client that takes so much in a ms, and a socket that holds 4 MiB. */
function newClient() {
  let now = 0;
  const pace = new Pace(() => now);
  return {
    pace,
    full: (queuedBytes = 4 * MIB) => pace.full(queuedBytes),
    takes(bytes: number, ms: number) {
      now += ms;
      pace.moved(bytes);
    },
  };
}

test('a client is sent more when half of what waits in its socket has been taken', () => {
  const client = newClient();
  assert.equal(client.full(), undefined, 'nothing is known yet');
  client.takes(2 * MIB, 10);
  assert.equal(client.full(), 10);
  client.takes(2 * MIB, 10);
  assert.equal(client.full(2 * MIB), 5);
});

for (const [who, ms] of [
  ['very fast', 1],
  ['slow', 100],
] as const)
  test(`of a client that is ${who} the kernel has to say when there is room`, () => {
    const client = newClient();
    client.full();
    client.takes(2 * MIB, ms);
    assert.equal(client.full(), undefined);
  });

test('a client that becomes faster is met sooner, and one that stops is left to the kernel', () => {
  const client = newClient();
  client.full();
  client.takes(2 * MIB, 16);
  assert.equal(client.full(), 16);
  client.takes(2 * MIB, 4);
  assert.equal(client.full(), 6);
  client.takes(0, 6);
  assert.equal(client.full(), 12);
  client.takes(0, 1000);
  assert.equal(client.full(), 25, 'once more, in vain');
  client.takes(0, 1000);
  assert.equal(client.full(), undefined);
});

test('what a client took while the source was waited for says nothing of it', () => {
  const client = newClient();
  client.full();
  client.takes(2 * MIB, 10);
  client.pace.interrupted();
  assert.equal(client.full(), undefined);
  client.takes(2 * MIB, 10);
  assert.equal(client.full(), 10);
});

test('a socket of which nothing is known to be waiting is left to the kernel', () => {
  const client = newClient();
  client.full();
  client.takes(2 * MIB, 10);
  assert.equal(client.full(0), undefined);
});
