import assert from 'node:assert/strict';
import {once} from 'node:events';
import {createServer, type AddressInfo, type Server, type Socket} from 'node:net';
import {after, describe, test} from 'node:test';
import {setTimeout as delay} from 'node:timers/promises';
import buildConnector from 'undici/lib/core/connect.js';
import Pool from 'undici/lib/dispatcher/pool.js';
import {poll} from '../test/poll.ts';
import {SLAB_BYTES, SlabReader, Slabs} from './slabs.ts';

/** 8 MiB in which no two places within reach of each other are alike. */
const BYTES = Buffer.from(Uint32Array.from({length: 2 << 20}, (_, n) => Math.imul(n, 2654435761)).buffer);

describe('Slabs', () => {
  test('one is used again when its socket has handed it on and nobody holds a part', () => {
    const slabs = new Slabs();
    const reader = new SlabReader(slabs);
    const slab = slabs.take(reader) as Buffer;
    const [first, second] = [slab.subarray(0, 1000), slab.subarray(1000)];
    slabs.hold(first);
    slabs.hold(second);
    slabs.hold(second); // by two
    const other = slabs.take(reader) as Buffer;
    assert.notEqual(other.byteOffset, slab.byteOffset);
    slabs.parsed(other);
    const isFree = (): boolean => {
      const taken = slabs.take(reader) as Buffer;
      slabs.parsed(taken);
      return taken.byteOffset === slab.byteOffset;
    };
    slabs.giveBack([first, second]);
    assert.equal(isFree(), false, 'one holds it, and the socket may bring more');
    slabs.giveBack([second]);
    assert.equal(isFree(), false, 'the socket may bring more');
    slabs.parsed(slab);
    assert.deepEqual([isFree(), slabs.busy], [true, 0]);
  });

  test('when all are in use there are no more, and memory of one’s own is nobody’s concern', () => {
    const slabs = new Slabs();
    const reader = new SlabReader(slabs);
    const taken = Array.from({length: 40}, () => slabs.take(reader)).filter((slab) => slab !== undefined);
    assert.deepEqual([taken.length, slabs.busy], [32, 32]);
    assert.equal(new Set(taken.map(({byteOffset}) => byteOffset)).size, 32);
    const own = Buffer.alloc(10);
    slabs.hold(own);
    slabs.giveBack([own]);
    slabs.parsed(own);
    assert.deepEqual([slabs.offsetOf(own), slabs.busy], [undefined, 32]);
    for (const slab of taken) slabs.parsed(slab);
    assert.equal(slabs.busy, 0);
  });
});

describe('SlabReader', () => {
  test('a body is read into slabs, and what is held stays as it was', async () => {
    await using rig = await Rig.start((socket) => socket.write(headOf(BYTES.length)) && socket.write(BYTES));
    const got = await rig.get({holdFor: () => Math.floor(Math.random() * 5)});
    assert.ok(got.bytes.equals(BYTES));
    assert.ok(got.slabChunks > 0, 'none of it was read into slabs');
    await poll('given back', () => rig.slabs.busy === 0);
  });

  test('is not used up by bodies that nobody takes', async () => {
    await using rig = await Rig.start((socket) => socket.write(headOf(BYTES.length)) && socket.write(BYTES));
    for (let n = 0; n < 40; n++) await assert.rejects(rig.get({breakAfterBytes: 2 << 20}), /enough/);
    await poll('given back', () => rig.slabs.busy === 0);
    assert.ok((await rig.get({})).slabChunks > 0);
  });

  test('no head is ever in a slab: a parser keeps its parts until all of it is there', async () => {
    await using rig = await Rig.start(async (socket) => {
      socket.write(headOf(BYTES.length, {'x-first': 'a'.repeat(2000)}).subarray(0, 1000));
      await delay(20);
      socket.write(Buffer.concat([headOf(BYTES.length, {'x-first': 'a'.repeat(2000)}).subarray(1000), BYTES]));
    });
    // On one connection, one after the other: each head follows a body that was read into slabs.
    for (let n = 0; n < 4; n++) {
      const {headers, bytes, slabsAtHead} = await rig.get({});
      assert.equal(headers['x-first'], 'a'.repeat(2000));
      assert.equal(slabsAtHead, 0);
      assert.ok(bytes.equals(BYTES));
    }
    assert.equal(rig.connections, 1);
  });

  test('a body is whole where the first address does not answer', async () => {
    await using rig = await Rig.start((socket) => socket.write(headOf(BYTES.length)) && socket.write(BYTES));
    rig.addresses = ['127.0.0.2', '127.0.0.1'];
    const got = await rig.get({});
    assert.ok(got.bytes.equals(BYTES) && got.slabChunks > 0);
  });

  test('a body that is held back for long comes whole, and no more is read of it than a few slabs', async () => {
    await using rig = await Rig.start((socket) => socket.write(headOf(BYTES.length)) && socket.write(BYTES));
    const got = await rig.get({pauseEvery: 1 << 20, holdFor: () => 1});
    assert.ok(got.bytes.equals(BYTES));
    assert.ok(got.mostBusy <= 12, `${got.mostBusy} of ${SLAB_BYTES} bytes`);
  });
});

interface Wish {
  /** Milliseconds for which a chunk is held before it is looked at. */
  readonly holdFor?: () => number;
  readonly breakAfterBytes?: number;
  readonly pauseEvery?: number;
}

interface Got {
  readonly headers: Record<string, unknown>;
  readonly bytes: Buffer;
  readonly slabChunks: number;
  readonly slabsAtHead: number;
  readonly mostBusy: number;
}

/** A server of answers byte by byte, and a client of undici's whose sockets read into slabs. */
class Rig implements AsyncDisposable {
  readonly slabs = new Slabs();
  readonly #server: Server;
  readonly #pool: Pool;
  addresses = ['127.0.0.1'];
  connections = 0;

  private constructor(server: Server) {
    this.#server = server;
    const {port} = server.address() as AddressInfo;
    this.#pool = new Pool(`http://many.example:${port}`, {
      connections: 1,
      connect: (asked, callback) => {
        this.connections++;
        buildConnector({
          onread: new SlabReader(this.slabs).onread,
          lookup: (_name, _options, found) =>
            found(
              null,
              this.addresses.map((address) => ({address, family: 4})),
            ),
        })(asked, callback);
      },
    });
  }

  static async start(answer: (socket: Socket) => unknown): Promise<Rig> {
    const server = createServer((socket) => {
      socket.on('error', () => {});
      socket.on('data', () => void answer(socket));
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    after(() => server.close());
    return new Rig(server);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#pool.destroy();
    this.#server.close();
  }

  /** Holds each chunk for a while before it copies it, as a slow disk would. */
  async get({holdFor, breakAfterBytes = Infinity, pauseEvery = Infinity}: Wish): Promise<Got> {
    const {slabs} = this;
    const {promise, resolve, reject} = Promise.withResolvers<Omit<Got, 'bytes'>>();
    const parts: Promise<Buffer>[] = [];
    let [bytes, slabChunks, slabsAtHead, mostBusy, left, paused] = [0, 0, 0, 0, 0, 0];
    let headers: Got['headers'] = {};
    const {port} = this.#server.address() as AddressInfo;
    this.#pool.dispatch(
      {origin: `http://many.example:${port}`, path: '/', method: 'GET'},
      {
        onRequestStart: () => {},
        onResponseStart: (_controller, _status, sent) => {
          headers = sent;
          slabsAtHead = slabs.busy;
          left = Number(sent['content-length']);
        },
        onResponseData: (controller, chunk) => {
          bytes += chunk.length;
          left -= chunk.length;
          slabs.readerOf(chunk)?.expectBody(left);
          if (bytes >= breakAfterBytes) return controller.abort(new Error('enough'));
          if (slabs.offsetOf(chunk) !== undefined) slabChunks++;
          slabs.hold(chunk);
          mostBusy = Math.max(mostBusy, slabs.busy);
          parts.push(
            delay(holdFor?.() ?? 0).then(() => {
              const copy = Buffer.from(chunk);
              slabs.giveBack([chunk]);
              return copy;
            }),
          );
          if (bytes - paused < pauseEvery) return;
          paused = bytes;
          controller.pause();
          setTimeout(() => controller.resume(), 30);
        },
        onResponseEnd: () => resolve({headers, slabChunks, slabsAtHead, mostBusy}),
        onResponseError: (_controller, error) => reject(error),
      },
    );
    try {
      return {...(await promise), bytes: Buffer.concat(await Promise.all(parts))};
    } finally {
      await Promise.all(parts);
    }
  }
}

function headOf(length: number, headers: Readonly<Record<string, string>> = {}): Buffer {
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
  return Buffer.from(`HTTP/1.1 200 OK\r\n${lines.join('')}Content-Length: ${length}\r\n\r\n`);
}
