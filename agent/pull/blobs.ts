import {LRUCache} from 'lru-cache';
import type {Digest} from '../../oci/digest.ts';
import {IntegrityError, UpstreamError} from '../../oci/error.ts';
import type {RepositoryName, Source} from '../../oci/source.ts';
import {usableLink, wordSuffices} from '../access/links.ts';
import type {PullRights} from '../access/caller.ts';
import {StoreFullError, type BlobRecord, type OpenBlob} from '../store/contract.ts';
import {asksAs, type PullContext} from './context.ts';
import type {Denied} from './denied.ts';
import {Flight} from './flight.ts';
import type {FlightEvents} from './flight-parts.ts';
import type {FlightHead, Followed} from './followed.ts';
import type {BlobPlan} from './plan.ts';
import {Proofs} from './proof.ts';
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
  /** Wrong bytes came under this digest lately: this time it is to be whole before its headers go out. */
  readonly doubted: boolean;
}

/** What waits in memory for the disk, in all flights together; each has at least one chunk of a socket. */
const BUFFER_BYTES = 16 << 20;
const MIN_BUFFER_BYTES = 128 << 10;
const MAX_BUFFER_BYTES = 2 << 20;
/** Downloads under way. More wait for one to end; a node pulls three layers of an image at once (B-037). */
const MAX_FLIGHTS = 128;

/** How long a source that was wrong about a digest is asked last for it. */
const WRONG_MS = 600_000;
/** How long no client is sent the beginning of a blob whose bytes were wrong: it has been cut once (B-042, P-02). */
const DOUBTED_MS = 60_000;

/** Blobs: from disk, from a flight that has begun, or from upstream; always through a proven link (design §4.2, §8). */
export class Blobs {
  readonly #context: PullContext;
  readonly #flightEvents: FlightEvents;
  /** By digest and owner. */
  readonly #flights = new Map<string, Flight>();
  readonly #digests = new Set<Digest>();
  readonly #proofs: Proofs;
  /** Places of sources that were wrong about a digest, asked last from now on: a mirror must not block the registry. */
  readonly #wrong = new LRUCache<string, ReadonlySet<number>>({max: 1_000, ttl: WRONG_MS});
  readonly #doubted = new LRUCache<Digest, true>({max: 1_000, ttl: DOUBTED_MS});
  /** Which of its upstream's sources one is. */
  readonly #places = new WeakMap<Source, number>();

  constructor(context: PullContext, denied: Denied, flightEvents: FlightEvents) {
    this.#context = context;
    this.#proofs = new Proofs(context, denied);
    this.#flightEvents = flightEvents;
  }

  get inFlight(): number {
    return this.#flights.size;
  }

  /** @throws {UpstreamError | IntegrityError} before anything was sent. */
  async open(name: RepositoryName, digest: Digest, caller: PullRights, signal: AbortSignal): Promise<BlobContent> {
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
    caller: PullRights,
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
        if (content.head.sizeBytes === 0 || content.doubted) await content.flight.succeeded(signal);
        return {...content.head, hit: false};
      case 'through':
        if (content.through.sizeBytes === 0) for await (const _ of content.through.bytes()); // what claims to be empty is checked
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
  async #mayShow(name: RepositoryName, record: BlobRecord, caller: PullRights, signal: AbortSignal): Promise<boolean> {
    const {store, policy} = this.#context;
    if ((await usableLink(store, name, record.digest, caller.authority)) !== undefined) return true;
    if (policy(name).offline) throw offline(name);
    const same = (other: RepositoryName): boolean =>
      other.registry === name.registry && this.#context.upstream(other) === this.#context.upstream(name);
    if (!(await wordSuffices(store, record.digest, same))) return false;
    await untilAborted(this.#proofs.prove(this.#planOf(name, record.digest, caller), record), signal);
    return true;
  }

  async #cold(name: RepositoryName, digest: Digest, caller: PullRights, signal: AbortSignal): Promise<BlobContent> {
    const policy = this.#context.policy(name);
    if (policy.offline) throw offline(name);
    const plan = this.#planOf(name, digest, caller);
    this.#proofs.checkDenied(plan);
    if (policy.cache === 'never') return this.#through(plan, signal, 'never');
    const key = `${digest} ${plan.owner ?? ''}`;
    const running = this.#flights.get(key);
    if (running !== undefined && running.failure === undefined) return this.#join(running, plan, signal);
    if (this.#digests.has(digest)) return this.#through(plan, signal, 'proof');
    if (this.#flights.size >= MAX_FLIGHTS) return this.#through(plan, signal, 'full');
    return this.#landed(this.#begin(key, plan), plan, false, signal);
  }

  async #join(flight: Flight, plan: BlobPlan, signal: AbortSignal): Promise<BlobContent> {
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
      await untilAborted(this.#proofs.prove(plan, {kind: 'blob', sizeBytes, mediaType: undefined}), signal);
    } catch (error) {
      if (content.from === 'flight') content.leave();
      else content.blob.close();
      throw error;
    }
    return content;
  }

  #begin(key: string, plan: BlobPlan): Flight {
    const {store, now} = this.#context;
    const bufferBytes = (): number =>
      Math.min(MAX_BUFFER_BYTES, Math.max(MIN_BUFFER_BYTES, BUFFER_BYTES / Math.max(1, this.#flights.size)));
    const flight = new Flight(plan, {store, now, bufferBytes, events: this.#flightEvents});
    this.#flights.set(key, flight);
    this.#digests.add(plan.digest);
    void flight.ended.then(() => {
      this.#flights.delete(key);
      this.#digests.delete(plan.digest);
      if (flight.failure instanceof IntegrityError || flight.failure instanceof UpstreamError)
        this.#distrust(plan, flight);
    });
    return flight;
  }

  /** The flight once its head is known; where the cache cannot help, the way through. */
  async #landed(flight: Flight, plan: BlobPlan, joined: boolean, signal: AbortSignal): Promise<BlobContent> {
    try {
      const head = await untilAborted(flight.head, signal);
      const followed = flight.follow();
      const doubted = this.#doubted.has(plan.digest);
      if (followed !== undefined) return {from: 'flight', flight, head, joined, doubted, ...followed};
    } catch (error) {
      if (error instanceof StoreFullError) return this.#through(plan, signal, 'full');
      throw error;
    }
    // It ended in this very moment: what it brought is on disk, or was not kept.
    const blob = await this.#context.store.open(plan.digest);
    return blob === undefined ? this.#through(plan, signal, 'full') : {from: 'cache', blob};
  }

  async #through(plan: BlobPlan, signal: AbortSignal, why: 'full' | 'never' | 'proof'): Promise<BlobContent> {
    return {from: 'through', through: await this.#openThrough(plan, signal), why};
  }

  #openThrough(plan: BlobPlan, signal: AbortSignal, prefix?: Prefix): Promise<Through> {
    const received = (bytes: number): void => {
      this.#flightEvents.received('upstream', bytes);
    };
    return Through.open(plan, prefix === undefined ? {signal, received} : {signal, received, prefix});
  }

  /** Content of another registry's private repository: this registry has to deliver the bytes; then the link stands. */
  async #throughAndLink(
    name: RepositoryName,
    digest: Digest,
    caller: PullRights,
    signal: AbortSignal,
  ): Promise<BlobContent> {
    const plan = this.#planOf(name, digest, caller);
    this.#proofs.checkDenied(plan);
    const through = await this.#openThrough(plan, signal);
    through.proven = (sizeBytes) =>
      this.#proofs.link(plan, through.authority, {kind: 'blob', sizeBytes, mediaType: undefined});
    return {from: 'through', through, why: 'proof'};
  }

  #planOf(name: RepositoryName, digest: Digest, caller: PullRights): BlobPlan {
    const authority = asksAs(this.#context, name, caller);
    const ask = {authority, allowPrivate: caller.allowPrivate};
    // What the node's credentials fetched is its registry's also while it is half there.
    const owner = authority === 'node' ? `${this.#context.upstream(name).label} ${name.registry}` : undefined;
    return {name, digest, sources: this.#sources(name, digest), ask, owner};
  }

  #sources(name: RepositoryName, digest: Digest): readonly Source[] {
    const sources = this.#context.upstream(name).sources(name);
    for (const [at, source] of sources.entries()) this.#places.set(source, at);
    const wrong = this.#wrong.get(`${name.registry} ${digest}`);
    if (wrong === undefined) return sources;
    const rank = (source: Source): number => Number(wrong.has(this.#places.get(source) ?? -1));
    return sources.toSorted((a, b) => rank(a) - rank(b));
  }

  /** What began a failed download is asked last from now on: others only continued it. */
  #distrust({name, digest, sources}: BlobPlan, {first, failure}: Flight): void {
    if (failure instanceof IntegrityError) {
      this.#context.events.integrity(this.#context.upstream(name).label);
      this.#doubted.set(digest, true);
    }
    const at = first && this.#places.get(first);
    if (at === undefined) return;
    const key = `${name.registry} ${digest}`;
    const wrong = new Set(this.#wrong.get(key)).add(at);
    if (wrong.size < sources.length) this.#wrong.set(key, wrong);
    else this.#wrong.delete(key); // all of them were: in the usual order again
  }
}

function offline({registry}: RepositoryName): UpstreamError {
  return new UpstreamError(
    'notFound',
    registry,
    `${registry} is offline by configuration, and this is not in the cache`,
  );
}
