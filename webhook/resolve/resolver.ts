import {orAborted, withDeadline} from '../../oci/deadline.ts';
import type {Digest} from '../../oci/digest.ts';
import {UpstreamError} from '../../oci/error.ts';
import {isSchema1} from '../../oci/media-type.ts';
import type {RepositoryName, Upstream} from '../../oci/source.ts';
import {staleForMs, type Policy} from '../../oci/upstream-policy.ts';
import {BusyError, Counts, Gate, type Turn} from './gate.ts';
import {KnownTags, type TagRecord} from './known.ts';

/** How long one question to a registry may take in all, whoever waits for it. */
const FLIGHT_MS = 8_000;
/** Of that, how long it waits for its turn; a question that begins has some time left. */
const TURN_MS = 6_000;
/** How long a tag that could be served stale waits for its registry. */
const PATIENCE_MS = 1_500;
/** A digest that was seen at a tag so lately is not asked about again. */
const CONFIRMED_MS = 10_000;
const REVALIDATE_MS = 250;
/** A cluster that starts anew asks for all its images at once; each that waits is a few hundred bytes. */
const MAX_FLIGHTS = 4_096;
/** Of one tenant, and when half of all fly. */
const PER_TENANT = 1_024;
const FAIR_SHARE = 64;
const LIMITS = {perRegistry: 16, perStranger: 4, perTenant: 64, inAll: 512} as const;

/** With whose rights a registry is asked: the webhook's own, or those of pull secrets. */
export interface Rights {
  /** What is known by one set of rights is not shown to another. */
  readonly key: string;
  upstream(name: RepositoryName): Upstream;
}

export interface Resolved {
  readonly digest: Digest;
  /** `hit`: known and fresh · `miss`: the registry was asked · `stale`: it could not confirm it. */
  readonly state: 'hit' | 'miss' | 'stale';
}

export interface ResolverEvents {
  /** One question of a review was answered, from where. `negative`: a failure that is remembered. */
  resolved(outcome: Resolved['state'] | 'negative' | 'failed', ms: number): void;
}

export interface ResolverOptions {
  readonly policy: (name: RepositoryName) => Policy;
  readonly allowPrivate: boolean;
  readonly events: ResolverEvents;
  /** Monotonic, in milliseconds: clocks that are set make nothing fresh or stale. */
  readonly now?: () => number;
}

export interface TagQuestion {
  readonly name: RepositoryName;
  readonly tag: string;
  readonly rights: Rights;
  /** On whose behalf, the pod's namespace: one that asks very much waits behind itself. */
  readonly tenant: string;
  /** What the tag is believed to be: if it is known to be something else, the registry is asked again. */
  readonly expected?: Digest | undefined;
}

/** Tags to digests: the only network of a review. However many ask for a tag at once, the registry is asked once. */
export class Resolver {
  readonly #options: ResolverOptions;
  readonly #now: () => number;
  readonly #known: KnownTags;
  readonly #gate = new Gate(LIMITS);
  readonly #flights = new Map<string, Flight>();
  /** Flights by tenant, and by tenant and registry. */
  readonly #counts = new Counts();

  constructor(options: ResolverOptions) {
    this.#options = options;
    this.#now = options.now ?? (() => performance.now());
    this.#known = new KnownTags(this.#now);
  }

  get size(): number {
    return this.#known.size;
  }

  /** What is known without asking anybody, however old. */
  peek(question: TagQuestion): Digest | undefined {
    const record = this.#known.tag(keyOf(question));
    return record && this.#answerTo(question, record, 'hit').digest;
  }

  /**
   * @param signal the review's own deadline. The question to the registry goes on for others.
   * @throws {UpstreamError} which says what the registry did, or that it was not asked; the signal's reason.
   */
  async resolve(question: TagQuestion, signal: AbortSignal): Promise<Resolved> {
    const from = this.#now();
    try {
      const {resolved, outcome} = await this.#resolve(question, signal);
      this.#options.events.resolved(outcome, this.#now() - from);
      return resolved;
    } catch (error) {
      this.#options.events.resolved(error instanceof Remembered ? 'negative' : 'failed', this.#now() - from);
      throw error instanceof Remembered ? error.cause : error;
    }
  }

  /** Settings have changed. */
  reloaded(): void {
    this.#known.forgetRefusals();
  }

  async #resolve(
    question: TagQuestion,
    signal: AbortSignal,
  ): Promise<{resolved: Resolved; outcome: Resolved['state']}> {
    const key = keyOf(question);
    const record = this.#known.tag(key);
    if (record !== undefined && this.#isEnough(question, record))
      return {resolved: this.#answerTo(question, record, 'hit'), outcome: 'hit'};
    try {
      const asked = this.#flight(key, question);
      const learned = await (record === undefined
        ? orAborted(asked, signal)
        : this.#patiently(asked, question, record, signal));
      return {resolved: this.#answerTo(question, learned, 'miss'), outcome: 'miss'};
    } catch (error) {
      if (record === undefined || !this.#mayBeStale(question, record, failureOf(error))) throw error;
      return {resolved: this.#answerTo(question, record, 'stale'), outcome: 'stale'};
    }
  }

  /** A digest that a tag lately was is still an answer to who expects it: two replicas learn of a move one after the other. */
  #answerTo({expected, name}: TagQuestion, record: TagRecord, state: Resolved['state']): Resolved {
    const {before} = record;
    const isRecent =
      before !== undefined &&
      this.#now() - before.until < Math.max(this.#options.policy(name).freshForMs, CONFIRMED_MS);
    if (expected !== undefined && expected === before?.digest && isRecent) return {digest: expected, state};
    return {digest: record.digest, state};
  }

  #isEnough(question: TagQuestion, record: TagRecord): boolean {
    const age = this.#now() - record.at;
    const {freshForMs} = this.#options.policy(question.name);
    const {expected} = question;
    if (expected === undefined) return age < freshForMs;
    if (this.#answerTo(question, record, 'hit').digest === expected) return age < Math.max(freshForMs, CONFIRMED_MS);
    return age < REVALIDATE_MS;
  }

  /** Who knows an answer that may be served stale waits less long for a registry that hangs; the question goes on. */
  async #patiently(
    asked: Promise<TagRecord>,
    {name}: TagQuestion,
    record: TagRecord,
    signal: AbortSignal,
  ): Promise<TagRecord> {
    asked.catch(() => undefined);
    if (this.#now() - record.at >= staleForMs(this.#options.policy(name).staleIfError, 'timeout'))
      return orAborted(asked, signal);
    return withDeadline(PATIENCE_MS, signal, (patience) => orAborted(asked, patience));
  }

  #mayBeStale({name}: TagQuestion, record: TagRecord, failure: UpstreamError['failure'] | undefined): boolean {
    const {staleIfError, offline} = this.#options.policy(name);
    if (offline) return true;
    return failure !== undefined && this.#now() - record.at < staleForMs(staleIfError, failure);
  }

  #flight(key: string, question: TagQuestion): Promise<TagRecord> {
    const refusal = this.#known.refusal(key);
    if (refusal !== undefined) return Promise.reject(new Remembered(refusal));
    const {tenant, name} = question;
    const running = this.#flights.get(key);
    if (running !== undefined) {
      running.turn.wantedBy(tenant);
      return running.learned;
    }
    if (!this.#hasRoom(question))
      return Promise.reject(
        new UpstreamError('timeout', name.registry, 'too many images are being resolved at this moment'),
      );
    const turn = this.#gate.turn(name.registry);
    const counted = [tenant, `${tenant} ${name.registry}`];
    const learned = this.#ask(key, question, turn).finally(() => {
      this.#flights.delete(key);
      for (const count of counted) this.#counts.add(count, -1);
    });
    this.#flights.set(key, {turn, learned});
    for (const count of counted) this.#counts.add(count, 1);
    learned.catch(() => undefined); // those who asked may have left
    return learned;
  }

  /** Registries that hang, named by somebody's pods, leave room for others, and in the end for that tenant's other ones. */
  #hasRoom({tenant, name: {registry}}: TagQuestion): boolean {
    const {size} = this.#flights;
    const ofTenant = this.#counts.get(tenant);
    if (size >= MAX_FLIGHTS || ofTenant >= (size < MAX_FLIGHTS / 2 ? PER_TENANT : FAIR_SHARE)) return false;
    return ofTenant < PER_TENANT / 2 || this.#counts.get(`${tenant} ${registry}`) < FAIR_SHARE;
  }

  async #ask(key: string, question: TagQuestion, turn: Turn): Promise<TagRecord> {
    const {name, tenant} = question;
    turn.wantedBy(tenant);
    try {
      const digest = await withDeadline(FLIGHT_MS, undefined, (signal) =>
        withDeadline(TURN_MS, signal, (patience) =>
          turn.run(patience, () => orAborted(this.#digestOf(question, signal), signal), isAnswer),
        ),
      );
      return this.#known.learned(key, digest);
    } catch (error) {
      const told = asUpstreamError(error, name.registry);
      // A turn that did not come says nothing of this image.
      if (!(error instanceof BusyError)) this.#known.refused(key, told);
      const record = this.#known.tag(key);
      const isGone = told.failure === 'notFound' || told.failure === 'unauthorized';
      if (record !== undefined && isGone && !this.#mayBeStale(question, record, told.failure)) this.#known.forget(key);
      throw told;
    }
  }

  /** By HEAD where it says the digest; the bytes of a GET say it themselves (P-17, C-055). */
  async #digestOf({name, tag, rights}: TagQuestion, signal: AbortSignal): Promise<Digest> {
    if (this.#options.policy(name).offline)
      throw new UpstreamError('notFound', name.registry, `${name.registry} is offline by configuration`);
    const upstream = rights.upstream(name);
    const options = {authority: 'node', allowPrivate: this.#options.allowPrivate, signal} as const;
    const head = await upstream.headManifest(name, tag, options);
    const isWhole = head.sizeBytes !== undefined && head.sizeBytes > 0 && head.mediaType !== '';
    const answer = head.digest !== undefined && isWhole ? head : await upstream.getManifest(name, tag, options);
    if (answer.digest === undefined || isSchema1(answer.mediaType))
      throw new UpstreamError(
        'protocol',
        name.registry,
        `${name.registry} has this tag only as an image of Docker's first manifest type, which has no digest to pin`,
      );
    return answer.digest;
  }
}

/** One question to a registry, for all who have it. */
interface Flight {
  readonly turn: Turn;
  readonly learned: Promise<TagRecord>;
}

const SILENT: ReadonlySet<UpstreamError['failure']> = new Set(['timeout', 'down', 'refused']);

/** Whether somebody who is there said no. */
function isAnswer(error: unknown): boolean {
  return error instanceof UpstreamError && !SILENT.has(error.failure);
}

/** A failure that was not asked for again. */
class Remembered extends Error {
  override readonly cause: UpstreamError;
  constructor(cause: UpstreamError) {
    super(cause.message);
    this.cause = cause;
  }
}

function keyOf({name, tag, rights}: TagQuestion): string {
  return `${name.registry} ${name.repository} ${tag} ${rights.key}`; // no part holds a blank
}

function failureOf(error: unknown): UpstreamError['failure'] | undefined {
  if (error instanceof Remembered) return error.cause.failure;
  if (error instanceof UpstreamError) return error.failure;
  return isTimeout(error) ? 'timeout' : undefined;
}

function isTimeout(error: unknown): boolean {
  return error instanceof Error && error.name === 'TimeoutError';
}

function asUpstreamError(error: unknown, registry: string): UpstreamError {
  if (error instanceof UpstreamError) return error;
  if (error instanceof BusyError) return new UpstreamError('timeout', registry, error.message, {cause: error});
  if (isTimeout(error))
    return new UpstreamError('timeout', registry, `${registry} did not answer in time`, {cause: error});
  return new UpstreamError('protocol', registry, `${registry} sent what cannot be used`, {cause: error});
}
