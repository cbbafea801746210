import type {Readable} from 'node:stream';
import type {Digest} from '../../oci/digest.ts';
import {IntegrityError, UpstreamError} from '../../oci/error.ts';
import type {Authority, RepositoryName, Source} from '../../oci/source.ts';
import {usableLink, wordSuffices} from '../access/links.ts';
import type {Caller} from '../access/caller.ts';
import {StoreFullError, type BlobRecord, type OpenBlob} from '../store/contract.ts';
import {asksAs, keyOf, Once, type PullContext} from './context.ts';
import type {Denied} from './denied.ts';
import {Flight, type FlightEvents, type FlightHead, type FlightPlan, type Followed} from './flight.ts';
import {untilAborted} from './manifests.ts';
import {Through, type Prefix} from './through.ts';

/** A blob on its way to a client. Exactly one consumer, who closes what it got. */
export type BlobContent =
  | {readonly from: 'cache'; readonly blob: OpenBlob}
  | InFlight
  | {readonly from: 'through'; readonly through: Through; readonly why: 'full' | 'never' | 'proof'};

/** A reader's hold on a flight. */
interface InFlight {
  readonly from: 'flight';
  readonly flight: Flight;
  readonly head: FlightHead;
  readonly file: Followed;
  leave(): void;
  /** Somebody else had begun it. */
  readonly joined: boolean;
}

/** What waits in memory for the disk, in all flights together; each has at least one chunk of a socket. */
const BUFFER_BYTES = 16 << 20;
const MIN_BUFFER_BYTES = 128 << 10;
const MAX_BUFFER_BYTES = 2 << 20;
/** Downloads under way. More wait for one to end; a node pulls three layers of an image at once (B-037). */
const MAX_FLIGHTS = 128;

/** Blobs: from disk, from a flight that has begun, or from upstream; always through a proven link (design §4.2, §8). */
export class Blobs {
  readonly #context: PullContext;
  readonly #denied: Denied;
  readonly #flightEvents: FlightEvents;
  /** By what may be shared: see `flightKey`. */
  readonly #flights = new Map<string, Flight>();
  readonly #digests = new Set<Digest>();
  readonly #proving = new Once<void>();
  /** Sources that sent wrong bytes for a digest, asked last from now on: a mirror must not block the registry. Bounded. */
  readonly #wrong = new Map<string, number>();

  constructor(context: PullContext, denied: Denied, flightEvents: FlightEvents) {
    this.#context = context;
    this.#denied = denied;
    this.#flightEvents = flightEvents;
  }

  get inFlight(): number {
    return this.#flights.size;
  }

  /** @throws {UpstreamError | IntegrityError} before anything was sent. */
  async open(name: RepositoryName, digest: Digest, caller: Caller, signal: AbortSignal): Promise<BlobContent> {
    const {store} = this.#context;
    const record = await store.stat(digest);
    if (record !== undefined) {
      if (await this.#mayShow(name, record, caller, signal)) {
        const blob = await store.open(digest);
        if (blob !== undefined) {
          store.touch(digest);
          return {from: 'cache', blob};
        }
      } else return this.#throughAndLink(name, digest, caller, signal);
    }
    return this.#cold(name, digest, caller, signal);
  }

  /** Size of a blob, without opening it: for HEAD. Cold ones begin to fly: a GET follows mostly (P-18: never HEAD upstream). */
  async head(
    name: RepositoryName,
    digest: Digest,
    caller: Caller,
    signal: AbortSignal,
  ): Promise<FlightHead & {hit: boolean}> {
    const record = await this.#context.store.stat(digest);
    if (record !== undefined && (await this.#mayShow(name, record, caller, signal))) {
      this.#context.store.touch(digest);
      return {sizeBytes: record.sizeBytes, authority: 'anonymous', hit: true};
    }
    const content =
      record === undefined
        ? await this.#cold(name, digest, caller, signal)
        : await this.#throughAndLink(name, digest, caller, signal);
    switch (content.from) {
      case 'flight':
        content.leave();
        return {...content.head, hit: false};
      case 'through':
        content.through.close();
        return {sizeBytes: content.through.sizeBytes, authority: content.through.authority, hit: false};
      case 'cache':
        content.blob.close();
        return {sizeBytes: content.blob.sizeBytes, authority: 'anonymous', hit: true};
    }
  }

  /** A reader whose flight met a full disk goes on from upstream, on its own (design §4.3). */
  continueThrough(flight: Flight, prefix: Prefix, signal: AbortSignal): Promise<Through> {
    return this.#openThrough(flight.plan, signal, prefix);
  }

  /** Ends all downloads; what they have stays for a resume. */
  async close(): Promise<void> {
    const flights = [...this.#flights.values()];
    for (const flight of flights) flight.stop(new Error('The agent stops'));
    await Promise.all(flights.map(({ended}) => ended));
  }

  /** Whether a stored blob may be shown through this repository; asks the registry where that is not proven yet. */
  async #mayShow(name: RepositoryName, record: BlobRecord, caller: Caller, signal: AbortSignal): Promise<boolean> {
    const {store, policy} = this.#context;
    if ((await usableLink(store, name, record.digest, caller.authority)) !== undefined) return true;
    if (policy(name).offline) throw offline(name);
    if (!(await wordSuffices(store, name, record.digest))) return false;
    const authority = asksAs(this.#context, name, caller);
    const key = `${keyOf(name, record.digest, authority)} ${caller.allowPrivate}`;
    await untilAborted(
      this.#proving.run(key, () => this.#prove(name, record, authority, caller.allowPrivate)),
      signal,
    );
    return true;
  }

  /** Asks the registry for the last byte: its answer says whether this repository shows the blob (P-18: no HEAD). */
  async #prove(
    name: RepositoryName,
    {digest, sizeBytes, kind, mediaType}: BlobRecord,
    authority: Authority,
    allowPrivate: boolean,
  ): Promise<void> {
    this.#denied.check(name, blobKey(digest), authority);
    const answer = await this.#firstAnswer(name, digest, Math.max(0, sizeBytes - 1), {
      authority,
      allowPrivate,
      signal: AbortSignal.timeout(30_000),
    });
    discardAfter(answer.body, 1);
    if (answer.sizeBytes !== undefined && answer.sizeBytes !== sizeBytes)
      throw new UpstreamError('protocol', name.registry, `${name.registry} shows another size for ${digest}`);
    await this.#link(name, digest, answer.authority, sizeBytes, {kind, mediaType});
  }

  async #firstAnswer(
    name: RepositoryName,
    digest: Digest,
    offset: number,
    ask: Parameters<Source['open']>[2],
  ): ReturnType<Source['open']> {
    let failure: unknown = new UpstreamError('down', name.registry, 'No source to ask');
    for (const source of this.#sources(name, digest)) {
      try {
        return await source.open(digest, offset, ask);
      } catch (error) {
        failure = error;
      }
    }
    throw failure;
  }

  async #cold(name: RepositoryName, digest: Digest, caller: Caller, signal: AbortSignal): Promise<BlobContent> {
    const policy = this.#context.policy(name);
    if (policy.offline) throw offline(name);
    const authority = asksAs(this.#context, name, caller);
    this.#denied.check(name, blobKey(digest), authority);
    const plan: FlightPlan = {
      name,
      digest,
      sources: this.#sources(name, digest),
      ask: {authority, allowPrivate: caller.allowPrivate},
    };
    if (policy.cache === 'never') return this.#through(plan, signal, 'never');
    const key = flightKey(digest, authority, name);
    const running = this.#flights.get(key);
    if (running !== undefined && running.failure === undefined) return this.#join(running, plan, caller, signal);
    if (this.#digests.has(digest)) return this.#through(plan, signal, 'proof');
    if (this.#flights.size >= MAX_FLIGHTS) return this.#through(plan, signal, 'full');
    return this.#landed(this.#begin(key, plan), plan, false, signal);
  }

  async #join(flight: Flight, plan: FlightPlan, caller: Caller, signal: AbortSignal): Promise<BlobContent> {
    const content = await this.#landed(flight, plan, true, signal);
    const {name} = flight.plan;
    if (name.registry === plan.name.registry && name.repository === plan.name.repository) return content;
    const sizeBytes =
      content.from === 'flight'
        ? content.head.sizeBytes
        : content.from === 'cache'
          ? content.blob.sizeBytes
          : undefined;
    if (content.from === 'through') return content; // opened for this very plan
    try {
      // Another repository: its registry has to say that it shows this blob, too.
      if (sizeBytes === undefined) {
        if (content.from === 'flight') content.leave();
        return await this.#through(plan, signal, 'proof');
      }
      const record: BlobRecord = {digest: plan.digest, kind: 'blob', sizeBytes, mediaType: undefined};
      const key = `${keyOf(plan.name, plan.digest, plan.ask.authority)} ${caller.allowPrivate}`;
      await untilAborted(
        this.#proving.run(key, () => this.#prove(plan.name, record, plan.ask.authority, caller.allowPrivate)),
        signal,
      );
    } catch (error) {
      if (content.from === 'flight') content.leave();
      else content.blob.close();
      throw error;
    }
    return content;
  }

  #begin(key: string, plan: FlightPlan): Flight {
    const {store, now} = this.#context;
    const bufferBytes = (): number =>
      Math.min(MAX_BUFFER_BYTES, Math.max(MIN_BUFFER_BYTES, BUFFER_BYTES / Math.max(1, this.#flights.size)));
    const flight = new Flight(plan, {store, now, bufferBytes, events: this.#flightEvents});
    this.#flights.set(key, flight);
    this.#digests.add(plan.digest);
    void flight.ended.then(() => {
      this.#flights.delete(key);
      this.#digests.delete(plan.digest);
      if (flight.failure instanceof IntegrityError) this.#distrust(plan, flight);
    });
    return flight;
  }

  /** The flight once its head is known; where the cache cannot help, the way through. */
  async #landed(flight: Flight, plan: FlightPlan, joined: boolean, signal: AbortSignal): Promise<BlobContent> {
    try {
      const head = await untilAborted(flight.head, signal);
      const followed = flight.follow();
      if (followed !== undefined) return {from: 'flight', flight, head, joined, ...followed};
    } catch (error) {
      if (error instanceof StoreFullError) return this.#through(plan, signal, 'full');
      throw error;
    }
    // It ended in this very moment: what it brought is on disk, or was not kept.
    const blob = await this.#context.store.open(plan.digest);
    return blob === undefined ? this.#through(plan, signal, 'full') : {from: 'cache', blob};
  }

  async #through(plan: FlightPlan, signal: AbortSignal, why: 'full' | 'never' | 'proof'): Promise<BlobContent> {
    return {from: 'through', through: await this.#openThrough(plan, signal), why};
  }

  #openThrough(plan: FlightPlan, signal: AbortSignal, prefix?: Prefix): Promise<Through> {
    const received = (bytes: number): void => {
      this.#flightEvents.received('upstream', bytes);
    };
    return Through.open(plan, prefix === undefined ? {signal, received} : {signal, received, prefix});
  }

  /** Content of another registry's private repository: this registry has to deliver the bytes; then the link stands. */
  async #throughAndLink(
    name: RepositoryName,
    digest: Digest,
    caller: Caller,
    signal: AbortSignal,
  ): Promise<BlobContent> {
    const authority = asksAs(this.#context, name, caller);
    this.#denied.check(name, blobKey(digest), authority);
    const plan: FlightPlan = {
      name,
      digest,
      sources: this.#sources(name, digest),
      ask: {authority, allowPrivate: caller.allowPrivate},
    };
    const through = await this.#openThrough(plan, signal);
    through.proven = (sizeBytes) =>
      this.#link(name, digest, through.authority, sizeBytes, {kind: 'blob', mediaType: undefined});
    return {from: 'through', through, why: 'proof'};
  }

  async #link(
    name: RepositoryName,
    digest: Digest,
    authority: Authority,
    sizeBytes: number,
    what: Pick<BlobRecord, 'kind' | 'mediaType'>,
  ): Promise<void> {
    const link = {...name, digest, authority, ...what, sizeBytes, provenAt: this.#context.now()};
    await this.#context.store.addLink(link).catch((error: unknown) => {
      this.#context.events.storeFailed('link', error);
    });
  }

  #sources(name: RepositoryName, digest: Digest): readonly Source[] {
    const sources = this.#context.upstream(name).sources(name);
    const wrong = this.#wrong.get(`${name.registry} ${digest}`);
    const bad = wrong === undefined ? undefined : sources[wrong];
    return bad === undefined ? sources : [...sources.filter((source) => source !== bad), bad];
  }

  #distrust({name, digest, sources}: FlightPlan, {source}: Flight): void {
    this.#context.events.integrity(this.#context.upstream(name).label);
    const at =
      source === undefined
        ? -1
        : this.#context
            .upstream(name)
            .sources(name)
            .findIndex(({kind}, i) => kind === source.kind && sources[i] === source);
    if (at === -1 || sources.length < 2) return;
    if (this.#wrong.size >= 1_000) this.#wrong.clear();
    this.#wrong.set(`${name.registry} ${digest}`, at);
  }
}

/** Anonymous content is anyone's; what the node's credentials fetch is shared within its registry only. */
function flightKey(digest: Digest, authority: Authority, {registry}: RepositoryName): string {
  return authority === 'anonymous' ? `${digest} anonymous` : `${digest} node ${registry}`;
}

/** Reads to the end, to keep the connection, unless there is more than was asked for. */
function discardAfter(body: Readable, bytes: number): void {
  let left = bytes;
  body
    .on('error', () => undefined)
    .on('data', (chunk: Uint8Array) => {
      left -= chunk.length;
      if (left < 0) body.destroy();
    });
}

/** That there is no manifest of this digest says nothing of a blob: runtimes ask for one, then for the other (B-032). */
function blobKey(digest: Digest): string {
  return `blobs/${digest}`;
}

function offline({registry}: RepositoryName): UpstreamError {
  return new UpstreamError(
    'notFound',
    registry,
    `${registry} is offline by configuration, and this is not in the cache`,
  );
}
