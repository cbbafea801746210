import assert from 'node:assert/strict';
import {execFileSync} from 'node:child_process';
import {mkdtemp, open, rm, writeFile} from 'node:fs/promises';
import {createServer, get, type IncomingMessage} from 'node:http';
import {type AddressInfo, connect, type Socket} from 'node:net';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {test} from 'node:test';
import {buffer} from 'node:stream/consumers';
import {setTimeout as delay} from 'node:timers/promises';
import koffi from 'koffi';
import {loadNative, type Native} from './native.ts';
import {Sender} from './send.ts';
import {wholeSpan} from './span.ts';

const LARGE = 4 << 20;
const [TCP, CONGESTION] = [6, 13];

const real = loadNative() ?? assert.fail('there is a prebuilt library for Linux'); // once in a process

/** A server of one file, whose sender tells of which connections it took the congestion control. */
async function newRig() {
  const folder = await mkdtemp(join(tmpdir(), 'noost-send-'));
  const path = join(folder, 'file');
  const bytes = Buffer.from(Array.from({length: LARGE}, (_, i) => i % 251));
  await writeFile(path, bytes);
  const file = await open(path);
  let ignored = 0;
  const native: Native = {
    ...real,
    ignoreCongestion: (fd) => {
      ignored++;
      real.ignoreCongestion(fd);
    },
  };
  const sender = new Sender({native, threads: 8});
  const server = createServer((req, res) => {
    const length = Number(req.headers['x-length']);
    res.writeHead(200, {'content-length': length});
    void sender.send(res, wholeSpan(file.fd, 0, length), () => undefined).then(() => res.end());
  });
  await new Promise<void>((resolve) => void server.listen(0, '0.0.0.0', resolve));
  const {port} = server.address() as AddressInfo;
  return {
    bytes,
    ignored: () => ignored,
    ask: (length: number, host = '127.0.0.1'): Promise<IncomingMessage> =>
      new Promise((resolve, reject) => {
        get({host, port, agent: false, localAddress: '127.0.0.1', headers: {'x-length': length}}, resolve).on(
          'error',
          reject,
        );
      }),
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      server.close();
      sender.close();
      await file.close();
      await rm(folder, {recursive: true});
    },
  };
}

const CASES: readonly [name: string, asks: readonly (readonly [length: number, host?: string])[], ignored: number][] = [
  ['a large part, alone', [[LARGE]], 1],
  ['a small one', [[LARGE >> 2]], 0],
  ['the second of two at a time', [[LARGE], [LARGE]], 1],
  ['one whose other end has another address', [[LARGE, '127.0.0.2']], 0],
];
for (const [name, asks, ignored] of CASES)
  test(`congestion control is taken from a connection within the machine that sends one large part alone: ${name}`, async () => {
    await using rig = await newRig();
    const answers: IncomingMessage[] = [];
    for (const [length, host] of asks) answers.push(await rig.ask(length, host)); // each unread until all have begun
    for (const [at, answer] of answers.entries())
      assert.ok((await buffer(answer)).equals(rig.bytes.subarray(0, asks[at]?.[0])));
    assert.equal(rig.ignored(), ignored);
  });

test('a connection without congestion control has Reno, which every kernel has', async () => {
  const server = createServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  const socket = connect((server.address() as AddressInfo).port, '127.0.0.1');
  await new Promise((resolve) => socket.once('connect', resolve));
  const {fd} = (socket as Socket & {readonly _handle: {readonly fd: number}})._handle;
  real.ignoreCongestion(fd);
  const getsockopt = koffi
    .load(null)
    .func('int getsockopt(int fd, int level, int name, void *value, uint32_t *length)');
  const value = Buffer.alloc(16);
  assert.equal(getsockopt(fd, TCP, CONGESTION, value, new Uint32Array([value.length])), 0);
  assert.equal(value.toString('latin1').replace(/\0.*$/, ''), 'reno');
  socket.destroy();
  server.close();
});

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

test('a client that takes bytes steadily is met by the clock, and one that stops is left alone until it goes on', async () => {
  const size = 96 << 20;
  const folder = await mkdtemp(join(tmpdir(), 'noost-send-'));
  const file = await open(join(folder, 'file'), 'w+');
  await file.truncate(size); // a hole is not in memory: it is read once
  for (const bytes = Buffer.alloc(1 << 20); (await file.read(bytes)).bytesRead > 0;);
  const calls = {sendfile: 0, met: 0, written: 0};
  const native: Native = {
    ...real,
    sendfileNow: (...args) => {
      calls.sendfile++;
      return real.sendfileNow(...args);
    },
    queued: (fd) => {
      calls.met++;
      return real.queued(fd);
    },
  };
  const sender = new Sender({native, threads: 8});
  const server = createServer(({socket}, res) => {
    const write = socket.write.bind(socket) as (...args: unknown[]) => boolean;
    socket.write = (...args: unknown[]) => {
      calls.written++;
      return write(...args);
    };
    res.writeHead(200, {'content-length': size});
    void sender.send(res, wholeSpan(file.fd, 0, size), () => undefined).then(() => res.end());
  });
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve));
  const {port} = server.address() as AddressInfo;
  const answer = await new Promise<IncomingMessage>((resolve) => get({host: '127.0.0.1', port}, resolve));
  let taken = 0;
  for await (const chunk of answer as AsyncIterable<Buffer>) {
    const before = taken;
    taken += chunk.length;
    if (before >> 20 !== taken >> 20) await delay(4); // 250 MB/s at most
    if (before < size / 2 && taken >= size / 2) {
      await delay(100); // what is on its way arrives, and one guess may be in vain
      const {sendfile} = calls;
      await delay(400);
      assert.ok(calls.sendfile - sendfile <= 1, `${calls.sendfile - sendfile} calls for a client that stands still`);
    }
  }
  assert.equal(taken, size);
  assert.ok(calls.met > 5, `asked ${calls.met} times what waits`);
  assert.ok(calls.written < calls.met, `${calls.written} ordinary writes, and the socket was full ${calls.met} times`);
  server.closeAllConnections();
  server.close();
  sender.close();
  await file.close();
  await rm(folder, {recursive: true});
});
