import assert from 'node:assert/strict';
import {execFileSync} from 'node:child_process';
import {once} from 'node:events';
import {closeSync, writeSync} from 'node:fs';
import {type AddressInfo, connect, createServer, type Socket} from 'node:net';
import {afterEach, test} from 'node:test';
import {setTimeout as delay} from 'node:timers/promises';
import koffi from 'koffi';
import {descriptorOf} from './client-socket.ts';
import {loadNative} from './native.ts';
import {Readiness} from './readiness.ts';

const native = loadNative() ?? assert.fail('there is a prebuilt library for Linux'); // before koffi is used otherwise
const readiness = new Readiness(koffi.load(null));
const open: {destroy(): void}[] = [];
afterEach(() => {
  for (const each of open.splice(0)) each.destroy();
});

/** A connection: our end as a descriptor, and the other end, which reads nothing until it is asked to. */
async function newConnection(): Promise<{fd: number; far: Socket; fill: () => number}> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const far = connect((server.address() as AddressInfo).port, '127.0.0.1');
  const [near] = (await once(server, 'connection')) as [Socket];
  server.close();
  near.on('error', () => undefined); // the far end resets
  const fd = native.dup(descriptorOf(near) ?? assert.fail('a plain socket'));
  let isOpen = true;
  open.push({
    destroy: () => {
      if (isOpen) {
        readiness.forget(fd);
        closeSync(fd);
      }
      isOpen = false;
      near.destroy();
      far.destroy();
    },
  });
  far.pause();
  return {fd, far, fill: () => fill(fd)};
}

const BYTES = Buffer.alloc(1 << 20);
/** @returns how many bytes it took. */
function fill(fd: number): number {
  for (let sum = 0; ;)
    try {
      sum += writeSync(fd, BYTES);
    } catch (error) {
      assert.equal((error as NodeJS.ErrnoException).code, 'EAGAIN');
      return sum;
    }
}

/** As often as it was told. */
function watch(fd: number): {times: number; promise: Promise<void>} {
  const {promise, resolve} = Promise.withResolvers<void>();
  const told = {times: 0, promise};
  assert.ok(
    readiness.watch(fd, () => {
      told.times++;
      resolve();
    }),
  );
  return told;
}

test('of a socket with room it is told at once, and once', async () => {
  const {fd} = await newConnection();
  const first = watch(fd);
  await first.promise;
  await delay(20);
  assert.equal(first.times, 1);
  const again = watch(fd);
  await again.promise;
  assert.deepEqual([first.times, again.times], [1, 1]);
});

test('of a full socket it is told when the other end has read', async () => {
  const {fd, far, fill} = await newConnection();
  assert.ok(fill() > 0);
  const told = watch(fd);
  await delay(50);
  assert.equal(told.times, 0);
  far.resume();
  await told.promise;
  far.pause();
  assert.ok(fill() > 0, 'there is room');
});

for (const [how, leave] of [
  ['closes', (far: Socket) => far.destroy()],
  ['resets', (far: Socket) => far.resetAndDestroy()],
] as const)
  test(`of a full socket whose other end ${how} it is told, too`, async () => {
    const {fd, far, fill} = await newConnection();
    fill();
    const told = watch(fd);
    leave(far);
    await told.promise;
  });

test('of each among more sockets than are told of at one time it is told once', async () => {
  const connections = await Promise.all(Array.from({length: 200}, () => newConnection()));
  for (let round = 0; round < 3; round++) {
    const told = connections.map(({fd}) => watch(fd));
    await Promise.all(told.map(({promise}) => promise));
    await delay(10);
    assert.deepEqual(new Set(told.map(({times}) => times)), new Set([1]));
  }
});

test('of what was forgotten nothing is told, and its number may be used again', async () => {
  const {fd, far, fill} = await newConnection();
  fill();
  const told = watch(fd);
  readiness.forget(fd);
  readiness.forget(fd); // twice is once
  far.resume();
  await delay(50);
  assert.equal(told.times, 0);
  await watch(fd).promise;
});

test('what cannot be watched is said so', () => {
  assert.equal(
    readiness.watch(1_000_000, () => assert.fail('told')),
    false,
  );
});

test('a process whose sockets are closed ends', () => {
  const program = `
    import koffi from 'koffi';
    import {Readiness} from './agent/http/readiness.ts';
    globalThis.kept = new Readiness(koffi.load(null));
    globalThis.gc();`;
  execFileSync(process.execPath, ['--expose-gc', '--input-type=module', '--eval', program], {timeout: 20_000});
});
