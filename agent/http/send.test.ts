import assert from 'node:assert/strict';
import {execFileSync} from 'node:child_process';
import {once} from 'node:events';
import {readdirSync} from 'node:fs';
import {mkdtemp, open, rm, writeFile} from 'node:fs/promises';
import {createServer, get, type IncomingMessage, type Server} from 'node:http';
import {type AddressInfo, connect, type Socket} from 'node:net';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {test} from 'node:test';
import {buffer} from 'node:stream/consumers';
import {setTimeout as delay} from 'node:timers/promises';
import koffi from 'koffi';
import {descriptorOf} from './client-socket.ts';
import {loadNative, type Native} from './native.ts';
import {Sender} from './send.ts';
import {wholeSpan} from './span.ts';
import {ClientGone} from './transfer.ts';

const LARGE = 4 << 20;
const [TCP, CONGESTION] = [6, 13];

const real = loadNative() ?? assert.fail('there is a prebuilt library for Linux'); // once in a process

test('connections that never leave the machine are not paced: they have Reno, which every kernel has', async () => {
  const sender = new Sender({native: real, threads: 8});
  const accepted = async (prepare: (server: Server) => void): Promise<string> => {
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    prepare(server);
    const socket = connect((server.address() as AddressInfo).port, '127.0.0.1');
    const [there] = (await once(server, 'connection')) as [Socket];
    const control = congestionControlOf(there);
    socket.destroy();
    server.close();
    return control;
  };
  const ours = await accepted(() => undefined);
  assert.equal(await accepted((server) => sender.neverPace(server)), 'reno');
  assert.equal(await accepted(() => undefined), ours, 'other servers keep the control of the system');
  sender.neverPace(createServer()); // listens nowhere
  sender.close();
});

function congestionControlOf(socket: Socket): string {
  const getsockopt = koffi
    .load(null)
    .func('int getsockopt(int fd, int level, int name, void *value, uint32_t *length)');
  const value = Buffer.alloc(16);
  assert.equal(getsockopt(descriptorOf(socket), TCP, CONGESTION, value, new Uint32Array([value.length])), 0);
  return value.toString('latin1').replace(/\0.*$/, '');
}

test('a sender tells what was in memory from what came from the disk', async () => {
  const folder = await mkdtemp('/var/tmp/noost-send-'); // by convention on a disk: from tmpfs no page is dropped
  const path = join(folder, 'file');
  await writeFile(path, Buffer.alloc(LARGE, 7));
  const file = await open(path);
  await file.datasync(); // what is dirty cannot be dropped; nor can what was sent, for a while
  execFileSync('dd', [`if=${path}`, 'iflag=nocache', 'count=0', 'status=none', 'of=/dev/null']);
  for (const [native, expected] of [
    [real, {first: false, again: true}],
    [undefined, {first: false, again: false}],
  ] as const) {
    const sender = new Sender({native, threads: 8});
    let told: boolean[] = [];
    const server = createServer((_, res) => {
      told = [];
      res.writeHead(200, {'content-length': LARGE});
      const span = wholeSpan(file.fd, 0, LARGE);
      void sender.send(res, span, (_bytes, fromMemory) => told.push(fromMemory)).then(() => res.end());
    });
    await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve));
    const {port} = server.address() as AddressInfo;
    for (const fromMemory of [expected.first, expected.again]) {
      assert.equal((await sender.missing(file.fd, LARGE)).length === 0, fromMemory);
      const answer = await new Promise<IncomingMessage>((resolve) => get({host: '127.0.0.1', port}, resolve));
      assert.equal((await buffer(answer)).length, LARGE);
      assert.equal(
        told.every((each) => each),
        fromMemory,
      );
    }
    server.closeAllConnections();
    server.close();
    sender.close();
  }
  await file.close();
  await rm(folder, {recursive: true});
});

test('a client costs a call when its socket has room, no ordinary write, and nothing while it stands still', async () => {
  const size = 96 << 20;
  await using rig = await newWarmRig(size);
  const answer = await rig.ask();
  let taken = 0;
  for await (const chunk of answer as AsyncIterable<Buffer>) {
    const before = taken;
    taken += chunk.length;
    if (before >> 20 !== taken >> 20) await delay(2); // 500 MB/s at most
    if (before < size / 2 && taken >= size / 2) {
      await delay(100); // what is on its way arrives
      const {sendfile} = rig.calls;
      await delay(400);
      assert.equal(rig.calls.sendfile, sendfile, 'calls for a client that stands still');
    }
  }
  assert.equal(taken, size);
  assert.ok(rig.calls.watched > 5, `waited ${rig.calls.watched} times for room`);
  assert.ok(
    rig.calls.written <= 2,
    `${rig.calls.written} ordinary writes: the first bytes, with the head, and a small rest`,
  );
  assert.ok(rig.calls.sendfile <= size / (64 << 10), `${rig.calls.sendfile} calls of sendfile(2)`);
});

test('where the system watches no more sockets, ordinary writes find out when there is room', async () => {
  const size = 96 << 20;
  await using rig = await newWarmRig(size, {watch: () => false, forget: () => undefined});
  const answer = await rig.ask();
  while (rig.calls.watched === 0) await delay(5); // nobody reads: the socket fills
  let taken = 0;
  for await (const chunk of answer as AsyncIterable<Buffer>) taken += chunk.length;
  assert.equal(taken, size);
  assert.ok(
    rig.calls.written > rig.calls.watched,
    `${rig.calls.written} ordinary writes: the first, and for each wait`,
  );
});

for (const [how, leave] of [
  ['closes', (socket: Socket) => socket.destroy()],
  ['resets', (socket: Socket) => socket.resetAndDestroy()],
] as const)
  test(`a client that ${how} its connection while its socket is full ends the sending, and leaves nothing behind`, async () => {
    await using rig = await newWarmRig(96 << 20);
    const answer = await rig.ask();
    while (rig.calls.watched === 0) await delay(5);
    const before = openDescriptors();
    leave(answer.socket);
    await assert.rejects(rig.sending(), ClientGone);
    assert.equal(rig.calls.forgotten, 1);
    while (openDescriptors() > before - 2) await delay(5); // the socket's own, the sender's and maybe the client's
  });

for (const [how, native] of [
  ['by sendfile(2)', real],
  ['by reads and writes', undefined],
] as const)
  test(`what is in memory already leaves before the file has it, and the file goes on after it: ${how}`, async () => {
    const bytes = Buffer.from(Array.from({length: 300_000}, (_, i) => i % 251));
    const folder = await mkdtemp(join(tmpdir(), 'noost-send-'));
    const file = await open(join(folder, 'file'), 'w+');
    const [early, sent] = [bytes.subarray(0, 1000), [] as [at: number, length: number][]];
    const written = Promise.withResolvers<void>();
    let isWritten = false;
    const span = {
      ...wholeSpan(file.fd, 0, bytes.length),
      limit: () => (isWritten ? bytes.length : 0),
      early: () => (isWritten ? undefined : early),
      moved: () => written.promise,
    };
    const sender = new Sender({native, threads: 8});
    const server = createServer((_, res) => {
      res.writeHead(200, {'content-length': bytes.length});
      void sender.send(res, span, (length, _sound, at) => sent.push([at, length])).then(() => res.end());
    }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const {port} = server.address() as AddressInfo;
    const answer = await new Promise<IncomingMessage>((resolve) => get({host: '127.0.0.1', port}, resolve));
    const chunks: Buffer[] = [];
    for await (const chunk of answer as AsyncIterable<Buffer>) {
      chunks.push(chunk);
      if (isWritten || Buffer.concat(chunks).length < early.length) continue;
      assert.deepEqual(Buffer.concat(chunks), early, 'all there is, and the file is empty');
      await file.write(bytes);
      isWritten = true;
      written.resolve();
    }
    assert.ok(Buffer.concat(chunks).equals(bytes));
    assert.deepEqual(sent[0], [0, early.length]);
    assert.deepEqual(sent[1]?.[0], early.length, 'nothing is sent twice');
    server.close();
    sender.close();
    await file.close();
    await rm(folder, {recursive: true});
  });

function openDescriptors(): number {
  return readdirSync('/proc/self/fd').length;
}

/** A server of one file that is all in memory, and what its sender asks of the system. */
async function newWarmRig(size: number, readiness: Native['readiness'] = real.readiness) {
  const folder = await mkdtemp(join(tmpdir(), 'noost-send-'));
  const file = await open(join(folder, 'file'), 'w+');
  await file.truncate(size); // a hole is not in memory: it is read once
  for (const bytes = Buffer.alloc(1 << 20); (await file.read(bytes)).bytesRead > 0;);
  const calls = {sendfile: 0, watched: 0, forgotten: 0, written: 0};
  const native: Native = {
    ...real,
    sendfileNow: (...args) => {
      calls.sendfile++;
      return real.sendfileNow(...args);
    },
    readiness: {
      watch: (fd, told) => {
        calls.watched++;
        return readiness.watch(fd, told);
      },
      forget: (fd) => {
        calls.forgotten++;
        readiness.forget(fd);
      },
    },
  };
  const sender = new Sender({native, threads: 8});
  let sending: Promise<unknown> = Promise.resolve();
  const server = createServer(({socket}, res) => {
    const write = socket.write.bind(socket) as (...args: unknown[]) => boolean;
    socket.write = (...args: unknown[]) => {
      calls.written++;
      return write(...args);
    };
    res.writeHead(200, {'content-length': size});
    sending = sender.send(res, wholeSpan(file.fd, 0, size), () => undefined).then(() => res.end());
    sending.catch(() => undefined); // looked at later
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const {port} = server.address() as AddressInfo;
  return {
    calls,
    sending: () => sending,
    ask: (): Promise<IncomingMessage> =>
      new Promise((resolve, reject) => void get({host: '127.0.0.1', port, agent: false}, resolve).on('error', reject)),
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      server.close();
      sender.close();
      await file.close();
      await rm(folder, {recursive: true});
    },
  };
}
