import {setTimeout as delay} from 'node:timers/promises';
import type {KubeClient} from './client.ts';
import {isConflict, isNotFound} from './error.ts';
import {SILENT, type KubeLog} from './log.ts';
import type {KubeObject} from './object.ts';
import {LEASES} from './resources.ts';

interface Lease extends KubeObject {
  readonly spec?: {
    readonly holderIdentity?: string | null;
    readonly leaseDurationSeconds?: number | null;
    readonly acquireTime?: string | null;
    readonly renewTime?: string | null;
    readonly leaseTransitions?: number | null;
  };
}

export interface LeaderOptions {
  readonly client: Pick<KubeClient, 'find' | 'create' | 'replace'>;
  readonly namespace: string;
  readonly name: string;
  /** Unlike that of any other who wants to lead; the pod's name and something random. */
  readonly identity: string;
  /** What the leader does. Ends when its signal does; if it ends or throws before, the lease is given up and sought again. */
  readonly lead: (signal: AbortSignal) => Promise<void>;
  readonly log?: KubeLog;
  /** A leader that renewed nothing for so long is taken for dead. @default 15_000 */
  readonly leaseMs?: number;
  /** A leader that could renew nothing for so long stops leading; well below `leaseMs`. @default 10_000 */
  readonly renewDeadlineMs?: number;
  /** @default 2000 */
  readonly retryMs?: number;
  readonly random?: () => number;
}

const LONGEST_LEASE_MS = 60_000;

/**
 * Who of many leads, by a Lease. Nobody's clock is believed: a candidate takes over when it has itself watched the lease
 * stay the same, by its own monotonic clock, for as long as the lease lasts; a leader stops when it has itself not
 * renewed for long. Every write is for the version that was read, so two cannot both win.
 */
export class LeaderElection implements AsyncDisposable {
  readonly #options: Required<LeaderOptions>;
  readonly #stop = new AbortController();
  /** The lease as it was last seen to change, and when, by our own clock. */
  #seen: {readonly version: string; readonly at: number} | undefined;
  #leading = false;
  #holder: string | undefined;
  #failure: Error | undefined;
  #running: Promise<void> | undefined;

  constructor(options: LeaderOptions) {
    const defaults = {log: SILENT, leaseMs: 15_000, renewDeadlineMs: 10_000, retryMs: 2000, random: Math.random};
    this.#options = {...defaults, ...options};
  }

  start(): void {
    this.#running ??= this.#run();
  }

  /** Whether we lead, as far as we know: between a takeover and its discovery nobody can know. */
  get leading(): boolean {
    return this.#leading;
  }

  /** Who led when we last looked. */
  get holder(): string | undefined {
    return this.#holder;
  }

  /** Why we can neither lead nor know who does. */
  get failure(): Error | undefined {
    return this.#failure;
  }

  /** Stops leading, and gives the lease up at once so that another need not wait. */
  async stop(): Promise<void> {
    this.#stop.abort(new Error('Stopped'));
    await this.#running;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  async #run(): Promise<void> {
    const {signal} = this.#stop;
    const {log, retryMs, random} = this.#options;
    while (!signal.aborted) {
      try {
        const sent = performance.now();
        const lease = await this.#tryToAcquire(signal);
        this.#failure = undefined;
        if (lease) await this.#lead(lease, sent, signal);
      } catch (error) {
        if (signal.aborted) break;
        if (this.#failure === undefined)
          log.warn('the lease cannot be read or written, which is tried again', {reason: (error as Error).message});
        this.#failure = error as Error;
      }
      await delay(retryMs * (0.75 + random() / 2), undefined, {signal}).catch(() => {});
    }
  }

  /** @returns the lease if it is ours now. */
  async #tryToAcquire(signal: AbortSignal): Promise<Lease | undefined> {
    const {client, namespace, name, identity, retryMs} = this.#options;
    const ask = {signal, deadlineMs: Math.max(1000, retryMs * 2)};
    const found = await client.find<Lease>(LEASES, {namespace, name}, ask);
    try {
      if (!found) return await client.create<Lease>(LEASES, {namespace, name}, {metadata: {}, spec: this.#spec()}, ask);
      this.#holder = found.spec?.holderIdentity ?? undefined;
      if (!this.#isFree(found)) return undefined;
      return await client.replace<Lease>(LEASES, {namespace, name}, {...found, spec: this.#spec(found)}, ask);
    } catch (error) {
      if (isConflict(error) || isNotFound(error)) return undefined; // another was first
      throw error;
    } finally {
      if (this.#holder === identity) this.#holder = undefined;
    }
  }

  #isFree({spec, metadata}: Lease): boolean {
    const {identity, leaseMs} = this.#options;
    const version = metadata.resourceVersion ?? '';
    if (this.#seen?.version !== version) this.#seen = {version, at: performance.now()};
    const holder = spec?.holderIdentity ?? '';
    if (holder === '' || holder === identity) return true;
    const theirsMs = Math.min((spec?.leaseDurationSeconds ?? 0) * 1000, LONGEST_LEASE_MS);
    return performance.now() - this.#seen.at > Math.max(leaseMs, theirsMs);
  }

  #spec(before?: Lease): NonNullable<Lease['spec']> {
    const {identity, leaseMs} = this.#options;
    const now = new Date().toISOString().replace('Z', '000Z'); // MicroTime
    const isSame = before?.spec?.holderIdentity === identity;
    return {
      holderIdentity: identity,
      leaseDurationSeconds: Math.ceil(leaseMs / 1000),
      acquireTime: (isSame ? before.spec.acquireTime : undefined) ?? now,
      renewTime: now,
      leaseTransitions: (before?.spec?.leaseTransitions ?? 0) + (before && !isSame ? 1 : 0),
    };
  }

  /** @param renewedAt when the request that won was sent: from then on the others count. */
  async #lead(won: Lease, renewedAt: number, signal: AbortSignal): Promise<void> {
    const {log, lead, identity} = this.#options;
    const term = new AbortController();
    const both = AbortSignal.any([signal, term.signal]);
    this.#leading = true;
    this.#holder = identity;
    log.info('leading from now on', {identity});
    const work = Promise.resolve()
      .then(() => lead(both))
      .catch((error: unknown) => {
        if (!both.aborted)
          log.warn('what the leader does has failed, which is tried again', {reason: (error as Error).message});
      })
      .finally(() => term.abort(new Error('The leader has ended')));
    const last = await this.#renew(won, renewedAt, term, both);
    this.#leading = false;
    await work;
    log.info('leading no longer', {identity});
    if (last) await this.#release(last);
  }

  /** Renews until the term ends. @returns the lease if it is still ours. */
  async #renew(won: Lease, renewedAt: number, term: AbortController, signal: AbortSignal): Promise<Lease | undefined> {
    const {renewDeadlineMs, retryMs, random} = this.#options;
    let lease = won;
    let at = renewedAt;
    for (;;) {
      await delay(retryMs * (0.75 + random() / 2), undefined, {signal}).catch(() => {});
      if (signal.aborted) return lease;
      const sent = performance.now();
      const leftMs = renewDeadlineMs - (sent - at);
      const renewed = leftMs > 0 ? await this.#renewOnce(lease, leftMs, signal) : undefined;
      if (renewed === 'lost' || performance.now() - at >= renewDeadlineMs) {
        term.abort(new Error('The lease was lost'));
        return undefined;
      }
      if (renewed) [lease, at] = [renewed, sent];
    }
  }

  /** @returns the renewed lease; `undefined` if that failed for now; 'lost' if another has it. */
  async #renewOnce(lease: Lease, leftMs: number, signal: AbortSignal): Promise<Lease | 'lost' | undefined> {
    const {client, namespace, name, retryMs, identity} = this.#options;
    const ask = {signal, deadlineMs: Math.min(leftMs, retryMs * 2)};
    try {
      return await client.replace<Lease>(LEASES, {namespace, name}, {...lease, spec: this.#spec(lease)}, ask);
    } catch (error) {
      if (isNotFound(error)) return 'lost';
      if (!isConflict(error)) return undefined;
    }
    // Somebody wrote it meanwhile, or our own write arrived without its answer: look who has it.
    const found = await client.find<Lease>(LEASES, {namespace, name}, ask).catch(() => null);
    if (found === null) return undefined;
    if (found?.spec?.holderIdentity !== identity) return 'lost';
    return client
      .replace<Lease>(LEASES, {namespace, name}, {...found, spec: this.#spec(found)}, ask)
      .catch(() => undefined);
  }

  async #release(lease: Lease): Promise<void> {
    const {client, namespace, name} = this.#options;
    const spec = {...lease.spec, holderIdentity: '', leaseDurationSeconds: 1};
    await client.replace<Lease>(LEASES, {namespace, name}, {...lease, spec}, {deadlineMs: 2000}).catch(() => {});
  }
}
