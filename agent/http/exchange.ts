import type {IncomingMessage, ServerResponse} from 'node:http';
import type {Digest} from '../../oci/digest.ts';
import {renderFields, type Log} from '../../proc/log.ts';
import {methodLabel, type ByteSource, type RequestKind, type Result} from '../metrics.ts';
import type {RequestMetrics} from './asked.ts';

/** In log and metrics only, as other servers have it: the client went before there was an answer. */
const CLIENT_LEFT = 499;

/** What a request is about. One object for requests that repeat: its part of the access line is made once. */
export class Subject {
  readonly kind: RequestKind;
  readonly upstream: string;
  #rendered: string | undefined;
  readonly repository: string | undefined;
  readonly reference: string | undefined;

  constructor(kind: RequestKind, upstream = '', repository?: string, reference?: string) {
    this.kind = kind;
    this.upstream = upstream;
    this.repository = repository;
    this.reference = reference;
  }

  get rendered(): string {
    const {kind, upstream, repository, reference} = this;
    return (this.#rendered ??= renderFields({kind, upstream, repository, reference}));
  }
}

const UNKNOWN = new Subject('other');

/** What of a request is told afterwards: one record feeds the access line and the metrics (design §1.8). */
export class Exchange {
  readonly method: string;
  readonly requestId: string;
  /** Of the client; kept, for a connection that is closed has none. */
  readonly address: string | undefined;
  readonly #startedAt = performance.now();
  #firstByteAt: number | undefined;
  subject = UNKNOWN;
  result: Result = 'error';
  /** What a push put into a repository: for the audit. */
  stored: {readonly digest: Digest; readonly sizeBytes: number} | undefined;
  /** Who asked, where it was said. */
  identity: string | undefined;
  source: ByteSource = 'cache';
  sentBytes = 0;
  /** Why it was answered so: a reason code, or the text of the error. */
  reason: string | undefined;
  /** The upstream's failure, where it could not confirm what is answered. */
  staleBecause: string | undefined;
  /** We closed the connection in the middle of the answer, for the source failed: not the client's doing. */
  brokenOff = false;
  readonly #req: IncomingMessage;
  readonly #res: ServerResponse;

  constructor(req: IncomingMessage, res: ServerResponse) {
    this.#req = req;
    this.#res = res;
    this.method = req.method ?? '';
    this.requestId = requestIdOf(req);
    this.address = req.socket.remoteAddress;
  }

  /** Bytes of the body were handed over. */
  sent(bytes: number): void {
    this.#firstByteAt ??= performance.now();
    this.sentBytes += bytes;
  }

  finish(metrics: RequestMetrics, log: Log): void {
    const res = this.#res;
    const now = performance.now();
    const seconds = (now - this.#startedAt) / 1000;
    const firstByteSeconds = ((this.#firstByteAt ?? now) - this.#startedAt) / 1000;
    const aborted = !res.writableFinished && !this.brokenOff;
    // A client that left before any answer was sent none: 200 would be a lie.
    const code = res.headersSent ? res.statusCode : CLIENT_LEFT;
    const {result, subject} = this;
    const {kind, upstream} = subject;
    metrics.answered({
      kind,
      method: methodLabel(this.method),
      code,
      result,
      upstream,
      seconds,
      firstByteSeconds,
    });
    if (this.sentBytes > 0) {
      metrics.sentBytes(this.source, this.sentBytes, result);
    }
    if (aborted) metrics.clientAborts.inc({kind});
    if (this.staleBecause !== undefined) metrics.stale.inc({upstream, reason: this.staleBecause});
    const outcome = renderOutcome({
      method: this.method,
      who: this.identity,
      status: code,
      bytes: this.sentBytes,
      result,
      source: this.sentBytes > 0 ? this.source : undefined,
      reason: this.staleBecause === undefined ? this.reason : `stale: ${this.staleBecause}`,
      brokenOff: this.brokenOff || undefined,
      aborted: aborted || undefined,
      agent: clientFamily(this.#req.headers['user-agent']),
    });
    log.access({id: this.requestId, seconds: Math.round(seconds * 1e6) / 1e6}, subject.rendered + outcome);
  }
}

/** What an access line says of how a request ended. */
type Outcome = {
  readonly method: string;
  readonly who: string | undefined;
  readonly status: number;
  readonly bytes: number;
  readonly result: Result;
  readonly source: ByteSource | undefined;
  readonly reason: string | undefined;
  readonly brokenOff: true | undefined;
  readonly aborted: true | undefined;
  readonly agent: string | undefined;
};

let latest: {readonly outcome: Outcome; readonly rendered: string} | undefined;

/** Rendering costs more than comparing: requests mostly end as the last one did. */
function renderOutcome(outcome: Outcome): string {
  if (latest === undefined || !isSame(latest.outcome, outcome)) latest = {outcome, rendered: renderFields(outcome)};
  return latest.rendered;
}

function isSame(a: Outcome, b: Outcome): boolean {
  return (
    a.method === b.method &&
    a.who === b.who &&
    a.status === b.status &&
    a.bytes === b.bytes &&
    a.result === b.result &&
    a.source === b.source &&
    a.reason === b.reason &&
    a.brokenOff === b.brokenOff &&
    a.aborted === b.aborted &&
    a.agent === b.agent
  );
}

let counter = 0;
const prefix = `${Date.now().toString(36)}-${process.pid.toString(36)}-`;

/** The client's own, if it is harmless (E-015), else a new one. */
function requestIdOf(req: IncomingMessage): string {
  const given = req.headers['x-request-id'];
  if (typeof given === 'string' && /^[A-Za-z0-9._-]{1,64}$/.test(given)) return given;
  return prefix + (counter++).toString(36);
}

/** A bounded set of names (B-036). */
const FAMILIES = [
  'containerd',
  'cri-o',
  'docker',
  'buildkit',
  'skopeo',
  'podman',
  'containers',
  'buildah',
  'crane',
  'go-containerregistry',
  'oras',
  'helm',
  'cosign',
  'kaniko',
  'curl',
  'Wget',
  'Go-http-client',
];

const known = new Map<string, string>();

function clientFamily(userAgent: string | undefined): string | undefined {
  if (userAgent === undefined) return undefined;
  const before = known.get(userAgent);
  if (before !== undefined) return before;
  const family =
    FAMILIES.find((name) => userAgent.startsWith(name)) ?? FAMILIES.find((name) => userAgent.includes(name)) ?? 'other';
  if (known.size >= 100) known.clear(); // there are few honest ones
  if (userAgent.length <= 256) known.set(userAgent, family);
  return family;
}
