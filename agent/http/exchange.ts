import type {IncomingMessage, ServerResponse} from 'node:http';
import type {Log} from '../../proc/log.ts';
import {methodLabel, type ByteSource, type Metrics, type RequestKind, type Result} from '../metrics.ts';

/** In log and metrics only, as other servers have it: the client went before there was an answer. */
const CLIENT_LEFT = 499;

/** What of a request is told afterwards: one record feeds the access line and the metrics (design §1.8). */
export class Exchange {
  readonly method: string;
  readonly requestId: string;
  readonly #startedAt = performance.now();
  #firstByteAt: number | undefined;
  kind: RequestKind = 'other';
  result: Result = 'error';
  upstream = '';
  repository: string | undefined;
  reference: string | undefined;
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
  }

  /** Bytes of the body were handed over. */
  sent(bytes: number): void {
    this.#firstByteAt ??= performance.now();
    this.sentBytes += bytes;
  }

  finish(metrics: Metrics, log: Log): void {
    const res = this.#res;
    const now = performance.now();
    const seconds = (now - this.#startedAt) / 1000;
    const firstByteSeconds = ((this.#firstByteAt ?? now) - this.#startedAt) / 1000;
    const aborted = !res.writableFinished && !this.brokenOff;
    // A client that left before any answer was sent none: 200 would be a lie.
    const code = res.headersSent ? res.statusCode : CLIENT_LEFT;
    const {kind, result, upstream} = this;
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
    log.access({
      id: this.requestId,
      method: this.method,
      kind,
      upstream,
      repository: this.repository,
      reference: this.reference,
      status: code,
      bytes: this.sentBytes,
      seconds: Math.round(seconds * 1e6) / 1e6,
      result,
      source: this.sentBytes > 0 ? this.source : undefined,
      reason: this.staleBecause === undefined ? this.reason : `stale: ${this.staleBecause}`,
      brokenOff: this.brokenOff || undefined,
      aborted: aborted || undefined,
      agent: clientFamily(this.#req.headers['user-agent']),
    });
  }
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
