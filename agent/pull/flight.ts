import {setTimeout as delay} from 'node:timers/promises';
import {IntegrityError, UpstreamError} from '../../oci/error.ts';
import type {Authority, BlobAnswer, Source} from '../../oci/source.ts';
import {StoreFullError, type Ingest, type Link} from '../store/contract.ts';
import {brokenBody} from './failure.ts';
import type {FlightDeps} from './flight-parts.ts';
import type {FlightHead, Followed} from './followed.ts';
import {untilAborted} from './manifests.ts';
import {openFirst, type BlobPlan} from './plan.ts';
import {pump} from './pump.ts';

/** A broken source is asked again this often without a byte of progress; then the flight has failed. */
const MAX_TRIES = 4;
/** How long a client without headers waits for a blob to be whole: it must have time to go elsewhere (P-01). */
const PATIENCE_MS = 15_000;
const LATE = 'The blob was wrong lately, and takes too long to be checked before it is sent';
/** What of a blob may leave before it is on the disk: most of what comes with a head. */
const EARLY_BYTES = 64 << 10;
/** A flight nobody reads may finish within this: a client that left often comes back (P-11). */
const UNREAD_MS = 120_000;

/**
 * One download of one digest (design §4.3). The writer is held back by the disk alone; readers follow the file.
 * The download belongs to the flight, not to the client that began it.
 */
export class Flight {
  readonly plan: BlobPlan;
  /** Resolves when the first source has answered. @throws {UpstreamError | StoreFullError} */
  readonly head: Promise<FlightHead>;
  /** Resolves when nothing more happens: committed, or failed. Never rejects. */
  readonly ended: Promise<void>;
  readonly #deps: FlightDeps;
  readonly #stop = new AbortController();
  readonly #head = Promise.withResolvers<FlightHead>();
  #moved = Promise.withResolvers<void>();
  #ingest: Ingest | undefined;
  /** The flight's own hold on the descriptor: while it is there, readers may join. */
  #release: (() => void) | undefined;
  #sizeBytes: number | undefined;
  #readableBytes = 0;
  #early: Uint8Array | undefined;
  #whole = false;
  #failure: Error | undefined;
  #readers = 0;
  #unread: NodeJS.Timeout | undefined;
  /** The source that is being read. */
  #source: Source | undefined;
  #first: Source | undefined;
  /** In the order to ask next. */
  #order: readonly Source[];

  constructor(plan: BlobPlan, deps: FlightDeps) {
    this.plan = plan;
    this.#order = plan.sources;
    this.#deps = deps;
    this.head = this.#head.promise;
    this.head.catch(() => undefined); // whoever awaits it is told; that nobody does is no crash
    this.#watchReaders();
    this.ended = this.#run();
  }

  /** The first that answered: where the flight failed, it was wrong about something. */
  get first(): Source | undefined {
    return this.#first;
  }
  get failure(): Error | undefined {
    return this.#failure;
  }

  /** Resolves when the bytes were right. @throws why they were not; the signal's reason; or that it takes too long. */
  async succeeded(signal: AbortSignal): Promise<void> {
    const late = delay(PATIENCE_MS, 'late', {ref: false});
    if ((await untilAborted(Promise.race([this.ended, late]), signal)) === 'late')
      throw new UpstreamError('timeout', this.plan.name.registry, LATE);
    if (this.#failure !== undefined) throw this.#failure;
  }

  /** Follows the file; the caller calls `leave` once. `undefined` before `head` has resolved and when all is over. */
  follow(): {readonly file: Followed; leave(): void} | undefined {
    const ingest = this.#ingest;
    if (ingest === undefined || this.#release === undefined) return undefined;
    const release = ingest.retain();
    this.#readers++;
    this.#watchReaders();
    let left = false;
    const leave = (): void => {
      if (left) return;
      left = true;
      release();
      this.#readers--;
      this.#watchReaders();
    };
    return {file: this.#view(ingest), leave};
  }

  /** Ends the download; readers see a failure. For shutting down. */
  stop(reason: Error): void {
    this.#stop.abort(reason);
  }

  #view(ingest: Ingest): Followed {
    // oxlint-disable-next-line typescript/no-this-alias -- getters of a literal have a `this` of their own
    const flight = this;
    return {
      fd: ingest.fd,
      get sizeBytes() {
        return flight.#sizeBytes;
      },
      get readableBytes() {
        return flight.#readableBytes;
      },
      get early() {
        return flight.#early;
      },
      get whole() {
        return flight.#whole;
      },
      get failure() {
        return flight.#failure;
      },
      moved: () => flight.#moved.promise,
    };
  }

  async #run(): Promise<void> {
    try {
      const {answer, authority} = await this.#begin();
      const ingest = this.#ingest as Ingest; // #begin set it or threw
      await this.#transfer(ingest, answer);
      await ingest.verify(this.#sizeBytes);
      this.#sizeBytes ??= ingest.writtenBytes;
      this.#readableBytes = ingest.writtenBytes;
      this.#whole = true;
      this.#wake();
      await this.#commit(ingest, authority);
    } catch (error) {
      await this.#fail(error as Error);
    } finally {
      clearTimeout(this.#unread);
      this.#release?.();
      this.#release = undefined;
    }
  }

  /** Asks the sources for what is missing, and makes room for it. */
  async #begin(): Promise<{answer: BlobAnswer; authority: Authority}> {
    const {store} = this.#deps;
    const {digest, owner} = this.plan;
    const offset = await store.leftover(digest, owner);
    let answer = await this.#open(offset);
    try {
      this.#ingest = await store.ingest(digest, answer.sizeBytes, owner);
    } catch (error) {
      answer.body.destroy();
      throw error;
    }
    this.#release = this.#ingest.retain();
    if (answer.offset > this.#ingest.writtenBytes) {
      answer.body.destroy(); // the left-over shrank meanwhile
      answer = await this.#open(this.#ingest.writtenBytes);
    }
    this.#sizeBytes = answer.sizeBytes;
    this.#move(this.#ingest.writtenBytes);
    this.#head.resolve({sizeBytes: answer.sizeBytes, authority: answer.authority});
    return {answer, authority: answer.authority};
  }

  /** Those that broke in this flight are asked last. */
  async #open(offset: number): Promise<BlobAnswer> {
    const {answer, source} = await openFirst({...this.plan, sources: this.#order}, offset, this.#stop.signal);
    this.#source = source;
    this.#first ??= source;
    return answer;
  }

  /** Reads sources to the end of the blob, going on elsewhere when one breaks. */
  async #transfer(ingest: Ingest, first: BlobAnswer): Promise<void> {
    let answer = first;
    for (let tries = 0; ;) {
      const before = ingest.writtenBytes;
      try {
        this.#checkSize(answer);
        await this.#pump(ingest, answer);
        return;
      } catch (error) {
        answer.body.destroy();
        if (!(error instanceof UpstreamError)) throw error;
        tries = ingest.writtenBytes > before ? 1 : tries + 1;
        if (tries >= MAX_TRIES) throw error;
        this.#order = this.#order.toSorted((a, b) => Number(a === this.#source) - Number(b === this.#source));
        answer = await this.#reopen(ingest, tries);
      }
    }
  }

  async #reopen(ingest: Ingest, tries: number): Promise<BlobAnswer> {
    // A break is mostly a connection that was cut: once is asked again at once, then with growing pauses.
    await delay(tries === 1 ? 0 : 200 * 2 ** tries * (0.5 + Math.random()), undefined, {signal: this.#stop.signal});
    const answer = await this.#open(ingest.writtenBytes);
    this.#deps.events.resumed();
    return answer;
  }

  #checkSize({sizeBytes, body}: BlobAnswer): void {
    if (sizeBytes === undefined || this.#sizeBytes === undefined || sizeBytes === this.#sizeBytes) return;
    body.destroy();
    throw new UpstreamError('protocol', this.plan.name.registry, 'Sources disagree about the size of the blob');
  }

  /** One answer's body into the file. */
  async #pump(ingest: Ingest, answer: BlobAnswer): Promise<void> {
    const {registry} = this.plan.name;
    const begun = ingest.writtenBytes;
    await pump(answer.body, {
      skipBytes: begun - answer.offset, // a source that ignored the range: what we have comes again
      // Until the first bytes are written nothing more is read: a socket is read dry in one go, and meanwhile nobody
      // is sent anything (docs/performance.md).
      bufferBytes: () => (ingest.writtenBytes > begun ? this.#deps.bufferBytes() : 0),
      signal: this.#stop.signal,
      broken: (error) => brokenBody(error, registry),
      write: (batch, bytes) => this.#append(ingest, batch, bytes),
    });
    if (this.#sizeBytes !== undefined && ingest.writtenBytes < this.#sizeBytes)
      throw new UpstreamError('down', registry, 'The blob ended before its length');
  }

  async #append(ingest: Ingest, batch: readonly Uint8Array[], bytes: number): Promise<void> {
    if (this.#sizeBytes !== undefined && ingest.writtenBytes + bytes > this.#sizeBytes)
      throw new IntegrityError(`${this.plan.digest} is longer than the ${this.#sizeBytes} bytes that were announced`);
    if (ingest.writtenBytes === 0) this.#show(batch[0]);
    await ingest.append(batch);
    this.#early = undefined;
    this.#deps.events.received(this.#source?.kind ?? 'upstream', bytes);
    this.#move(ingest.writtenBytes);
  }

  /** The beginning, while the disk is at it: a client that waits for it need not wait for that. */
  #show(chunk: Uint8Array | undefined): void {
    if (chunk === undefined || this.#sizeBytes === undefined) return;
    this.#early = new Uint8Array(chunk.subarray(0, Math.min(EARLY_BYTES, this.#sizeBytes - 1))); // chunks are lent
    this.#wake();
  }

  async #commit(ingest: Ingest, authority: Authority): Promise<void> {
    const {digest, name} = this.plan;
    const link: Link = {
      ...name,
      digest,
      authority,
      kind: 'blob',
      mediaType: undefined,
      sizeBytes: ingest.writtenBytes,
      provenAt: this.#deps.now(),
    };
    try {
      await ingest.commit({kind: 'blob', mediaType: undefined, children: [], link});
    } catch (error) {
      this.#deps.events.notKept(error); // costs the cache, not the clients: their bytes were right
      await ingest.abandon(false).catch(() => undefined);
    }
  }

  async #fail(error: Error): Promise<void> {
    const {events} = this.#deps;
    this.#failure = error;
    this.#head.reject(error);
    this.#wake();
    const wrong = error instanceof IntegrityError;
    if (this.#stop.signal.aborted) events.failed('abandoned');
    else events.failed(wrong ? 'integrity' : error instanceof UpstreamError ? 'upstream' : 'store');
    // What a broken upstream sent so far may be continued; not what was wrong, or where sources contradict each other.
    const doubtful = wrong || (error instanceof UpstreamError && error.failure === 'protocol');
    await this.#ingest?.abandon(!doubtful && !(error instanceof StoreFullError)).catch(() => undefined);
  }

  /** Moves the watermark. The last byte is withheld until the digest is checked (design §4.3). */
  #move(writtenBytes: number): void {
    const last = this.#sizeBytes === undefined ? writtenBytes : Math.max(0, this.#sizeBytes - 1);
    this.#readableBytes = Math.min(writtenBytes, last);
    this.#wake();
  }

  #wake(): void {
    const moved = this.#moved;
    this.#moved = Promise.withResolvers<void>();
    moved.resolve();
  }

  #watchReaders(): void {
    clearTimeout(this.#unread);
    if (this.#readers > 0 || this.#whole || this.#failure) return;
    this.#unread = setTimeout(() => {
      this.stop(new Error('Nobody reads this blob any more'));
    }, UNREAD_MS);
    this.#unread.unref();
  }
}
