import assert from 'node:assert/strict';
import {Readable} from 'node:stream';
import {describe, it} from 'node:test';
import {setImmediate as nextTurn} from 'node:timers/promises';
import {digestOf} from '../../oci/digest.ts';
import type {Source} from '../../oci/source.ts';
import type {Ingest, Store} from '../store/contract.ts';
import {Flight} from './flight.ts';

const CHUNK = Buffer.alloc(64 << 10, 7);
const CHUNKS = 100;
/** What a stream that was paused has taken already. */
const AHEAD = 1;
const BYTES = CHUNKS * CHUNK.length;
const DIGEST = digestOf(Buffer.alloc(BYTES, 7));
const NAME = {registry: 'registry.example', repository: 'a/b'};

describe('a flight', () => {
  it('reads no further than the first chunk until it is written: what is read is sent to nobody meanwhile', async () => {
    const body = new Body();
    const disk = new Disk();
    const flight = fly(body, disk);
    await flight.head;
    await settled();
    assert.ok(body.given <= 1 + AHEAD, `${body.given} chunks were read before anything was written`);
    disk.write();
    await settled();
    assert.ok(body.given > 2 + AHEAD, 'and then goes on');
    assert.ok(disk.readable > 0);
    await end(flight, disk);
  });

  it('shows the beginning from memory while it is written, and then no more', async () => {
    const disk = new Disk();
    const flight = fly(new Body(), disk);
    await flight.head;
    const reader = flight.follow() ?? assert.fail('it has begun');
    await reader.file.moved();
    assert.deepEqual(reader.file.early, new Uint8Array(CHUNK));
    assert.equal(reader.file.readableBytes, 0);
    disk.write();
    await settled();
    assert.equal(reader.file.early, undefined);
    assert.ok(reader.file.readableBytes >= CHUNK.length);
    reader.leave();
    await end(flight, disk);
  });

  it('shows nothing of a chunk that its source may change, and not the last byte of a blob', async () => {
    const [disk, chunk] = [new Disk(), Buffer.alloc(1000, 7)];
    const flight = fly(Readable.from([chunk]), disk, 2 << 20, chunk.length);
    await flight.head;
    const reader = flight.follow() ?? assert.fail('it has begun');
    await reader.file.moved();
    chunk.fill(8);
    assert.deepEqual(reader.file.early, new Uint8Array(999).fill(7));
    reader.leave();
    await end(flight, disk);
  });

  it('shows nothing from memory of a blob that it continues', async () => {
    const disk = new Disk();
    disk.readable = 1000;
    const flight = fly(new Body(), disk);
    await flight.head;
    const reader = flight.follow() ?? assert.fail('it has begun');
    await settled();
    assert.equal(reader.file.early, undefined);
    reader.leave();
    await end(flight, disk);
  });

  it('lets no more wait for a slow disk than it may', async () => {
    const body = new Body();
    const disk = new Disk();
    const flight = fly(body, disk, 8 * CHUNK.length);
    await flight.head;
    await settled();
    disk.write();
    await settled();
    disk.write(); // the second chunk, and what came with it; what follows waits now
    await settled();
    const waiting = body.given - disk.readable / CHUNK.length - disk.underWay;
    assert.ok(waiting >= 1 && waiting <= 8 + AHEAD, `${waiting} chunks wait`);
    await end(flight, disk);
  });
});

async function end(flight: Flight, disk: Disk): Promise<void> {
  flight.stop(new Error('Enough was seen'));
  disk.write();
  await flight.ended;
}

function fly(body: Readable, disk: Disk, bufferBytes = 2 << 20, sizeBytes = BYTES): Flight {
  const source: Source = {
    kind: 'upstream',
    open: () => Promise.resolve({body, offset: 0, sizeBytes, authority: 'anonymous'}),
  };
  const plan = {
    name: NAME,
    digest: DIGEST,
    sources: [source],
    ask: {authority: 'anonymous', allowPrivate: false},
    owner: undefined,
  } as const;
  const none = (): void => undefined;
  return new Flight(plan, {
    store: {leftover: () => Promise.resolve(0), ingest: () => Promise.resolve(disk.ingest)} as Partial<Store> as Store,
    events: {received: none, resumed: none, failed: none, notKept: none},
    now: () => 0,
    bufferBytes: () => bufferBytes,
  });
}

/** What a socket does: as long as somebody takes, there is more at once. */
class Body extends Readable {
  given = 0;

  constructor() {
    super({highWaterMark: 1});
  }

  override _read(): void {
    if (this.given === CHUNKS) return void this.push(null);
    this.given++;
    this.push(CHUNK);
  }
}

/** Writes when it is told to. */
class Disk {
  readable = 0;
  underWay = 0;
  #write = Promise.withResolvers<void>();

  readonly ingest: Ingest = (() => {
    const written = (): number => this.readable;
    const nothing = (): Promise<void> => Promise.resolve();
    return {
      digest: DIGEST,
      fd: -1,
      resumedBytes: 0,
      get writtenBytes() {
        return written();
      },
      append: async (chunks: readonly Uint8Array[]) => {
        this.underWay = chunks.length;
        await this.#write.promise;
        this.#write = Promise.withResolvers();
        this.underWay = 0;
        this.readable += chunks.reduce((sum, {length}) => sum + length, 0);
      },
      restart: nothing,
      verify: nothing,
      commit: nothing,
      abandon: nothing,
      retain: () => () => undefined,
    };
  })();

  write(): void {
    this.#write.resolve();
  }
}

/** Everything has happened that does not wait for the disk. */
async function settled(): Promise<void> {
  for (let i = 0; i < 200; i++) await nextTurn();
}
