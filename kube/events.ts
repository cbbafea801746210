import {createHash} from 'node:crypto';
import {LRUCache} from 'lru-cache';
import type {KubeClient} from './client.ts';
import {isNotFound} from './error.ts';
import {SILENT, type KubeLog} from './log.ts';
import type {KubeObject} from './object.ts';
import {EVENTS} from './resources.ts';

/** What an event is about. An object that was never made has no uid, perhaps not even a name: name its owner then. */
export interface Regarding {
  readonly apiVersion?: string | undefined;
  readonly kind: string;
  readonly namespace?: string | undefined;
  readonly name: string;
  readonly uid?: string | undefined;
  readonly fieldPath?: string | undefined;
}

export interface EventToRecord {
  readonly regarding: Regarding;
  readonly type: 'Normal' | 'Warning';
  /** One word in CamelCase, of a fixed few. */
  readonly reason: string;
  readonly message: string;
  /** What makes two of them one, where their messages differ in what does not matter. @default the message */
  readonly same?: string;
}

export interface EventRecorderOptions {
  readonly client: Pick<KubeClient, 'create' | 'patch'>;
  /** `source.component`: who says it. */
  readonly component: string;
  /** `source.host`, or the pod's name. */
  readonly instance?: string | undefined;
  readonly log?: KubeLog;
  /** Events that wait to be written; beyond that they are dropped and counted. @default 256 */
  readonly maxQueue?: number;
  /** Writes to the API server, on average. @default 5 a second, and `burst` at once */
  readonly perSecond?: number;
  /** @default 20 */
  readonly burst?: number;
  /** What is said again within this is counted in the event that is there, not written anew. @default 600_000 */
  readonly sameForMs?: number;
  /** How often the count of one event is brought up to date at most. @default 30_000 */
  readonly recountMs?: number;
}

interface Known {
  readonly namespace: string;
  readonly name: string;
  readonly event: EventToRecord;
  readonly firstAt: string;
  count: number;
  /** What of it the API server knows. */
  written: number;
  writtenAt: number;
  queued: boolean;
}

/** What kubectl still shows on a screen; the newer Event kind refuses more than 1024 bytes. */
const MAX_MESSAGE = 1000;
const MAX_KNOWN = 4096;

/** Kubernetes Events: the same again is counted, the rest is rate-limited. `record` returns at once and never fails. */
export class EventRecorder implements AsyncDisposable {
  readonly #options: Required<Omit<EventRecorderOptions, 'instance'>> & {readonly instance: string | undefined};
  readonly #known: LRUCache<string, Known>;
  readonly #queue: Known[] = [];
  #allowance: number;
  #allowedAt = performance.now();
  #timer: NodeJS.Timeout | undefined;
  #writing: Promise<void> | undefined;
  #dropped = 0;
  #closed = false;

  constructor(options: EventRecorderOptions) {
    const limits = {maxQueue: 256, perSecond: 5, burst: 20, sameForMs: 600_000, recountMs: 30_000};
    this.#options = {log: SILENT, instance: undefined, ...limits, ...options};
    this.#allowance = this.#options.burst;
    this.#known = new LRUCache({max: MAX_KNOWN, ttl: this.#options.sameForMs});
  }

  /** Events that nobody will ever see, since the start: the queue was full, or the API server did not take them. */
  get dropped(): number {
    return this.#dropped;
  }

  record(event: EventToRecord): void {
    if (this.#closed) return;
    const {regarding, type, reason} = event;
    const message = cut(event.message);
    const about = [regarding.kind, regarding.namespace, regarding.name, regarding.uid, regarding.fieldPath];
    const id = createHash('sha256')
      .update(JSON.stringify([...about, type, reason, event.same ?? message]))
      .digest('hex');
    let known = this.#known.get(id);
    if (!known) {
      const name = `${nameFor(regarding.name)}.${id.slice(0, 10)}${Date.now().toString(36)}`;
      const namespace = regarding.namespace ?? 'default';
      const firstAt = new Date().toISOString();
      known = {namespace, name, event: {...event, message}, firstAt, count: 0, written: 0, writtenAt: 0, queued: false};
      this.#known.set(id, known);
    }
    known.count++;
    this.#enqueue(known);
  }

  /** Writes what waits, for at most `ms`. */
  async close(ms = 2000): Promise<void> {
    this.#closed = true;
    const end = performance.now() + ms;
    while (this.#queue.length > 0 && performance.now() < end && this.#allowed())
      await this.#write(this.#queue.shift() as Known, Math.max(1, end - performance.now()));
    this.#dropped += this.#queue.length;
    this.#queue.length = 0;
    clearTimeout(this.#timer);
    await this.#writing;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #enqueue(known: Known): void {
    if (known.queued) return;
    if (this.#queue.length >= this.#options.maxQueue) {
      this.#dropped++;
      if (known.written === 0) this.#forget(known);
      return;
    }
    known.queued = true;
    this.#queue.push(known);
    this.#schedule();
  }

  /** One that was never written may be tried again when it is said again. */
  #forget(known: Known): void {
    for (const [id, one] of this.#known.entries()) if (one === known) this.#known.delete(id);
  }

  #schedule(): void {
    if (this.#closed || this.#writing) return;
    clearTimeout(this.#timer); // a new one may be due before those that only wait to be counted again
    this.#timer = undefined;
    const waitMs = this.#nextInMs();
    if (waitMs === undefined) return;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.#writing = this.#drain().finally(() => {
        this.#writing = undefined;
        this.#schedule();
      });
    }, waitMs);
    this.#timer.unref();
  }

  #nextInMs(): number | undefined {
    const now = performance.now();
    const due = this.#queue.map((known) => this.#dueAt(known) - now);
    return due.length === 0 ? undefined : Math.max(this.#allowedInMs(), Math.min(...due), 0);
  }

  #dueAt({written, writtenAt}: Known): number {
    return written === 0 ? 0 : writtenAt + this.#options.recountMs;
  }

  async #drain(): Promise<void> {
    for (;;) {
      const at = this.#queue.findIndex((known) => this.#dueAt(known) <= performance.now());
      if (at < 0 || this.#closed || !this.#allowed()) return;
      const [known] = this.#queue.splice(at, 1);
      if (known) await this.#write(known, 5000);
    }
  }

  #allowedInMs(): number {
    this.#refill();
    return this.#allowance >= 1 ? 0 : ((1 - this.#allowance) / this.#options.perSecond) * 1000;
  }

  #allowed(): boolean {
    this.#refill();
    if (this.#allowance < 1) return false;
    this.#allowance--;
    return true;
  }

  #refill(): void {
    const now = performance.now();
    const {burst, perSecond} = this.#options;
    this.#allowance = Math.min(burst, this.#allowance + ((now - this.#allowedAt) / 1000) * perSecond);
    this.#allowedAt = now;
  }

  async #write(known: Known, deadlineMs: number): Promise<void> {
    const {client, log} = this.#options;
    const {namespace, name, count} = known;
    known.queued = false;
    try {
      const lastTimestamp = new Date().toISOString();
      if (known.written === 0)
        await client.create(EVENTS, {namespace}, this.#eventOf(known, lastTimestamp), {deadlineMs});
      else await client.patch(EVENTS, {namespace, name}, {merge: {count, lastTimestamp}}, {deadlineMs});
      known.written = count;
      known.writtenAt = performance.now();
    } catch (error) {
      this.#dropped++;
      if (isNotFound(error) || known.written === 0) this.#forget(known);
      known.writtenAt = performance.now();
      log.debug('an event was not written', {reason: (error as Error).message});
    }
  }

  #eventOf(
    {namespace, name, event, count, firstAt}: Known,
    lastTimestamp: string,
  ): KubeObject & Record<string, unknown> {
    const {component, instance} = this.#options;
    const {regarding, type, reason, message} = event;
    return {
      metadata: {name, namespace},
      involvedObject: regarding,
      type,
      reason,
      message,
      source: {component, ...(instance !== undefined && {host: instance})},
      reportingComponent: component,
      reportingInstance: instance ?? component,
      count,
      firstTimestamp: firstAt,
      lastTimestamp,
    };
  }
}

function cut(message: string): string {
  return message.length <= MAX_MESSAGE ? message : `${message.slice(0, MAX_MESSAGE - 1)}…`;
}

/** Begins like the object's own name, as kubectl's events do; a DNS name in any case. */
function nameFor(name: string): string {
  const clean = name
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '-')
    .slice(0, 200)
    .replace(/^-+|-+$/g, '');
  return clean === '' ? 'event' : clean;
}
