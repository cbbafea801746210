import type {Source} from '../oci/source.ts';
import {Registry, collectDefaultMetrics} from 'prom-client';
import {newMetricPage} from '../proc/metric-page.ts';
import type {Times} from '../proc/tally.ts';

/** To beyond a minute (E-003): a cold layer of some GiB takes that long. */
const DURATION_BUCKETS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 180, 600];

export type RequestKind =
  | 'blob'
  | 'manifest'
  | 'tag'
  | 'tags'
  | 'referrers'
  | 'upload'
  | 'catalog'
  | 'token'
  | 'ping'
  | 'other';
export type Result = 'hit' | 'miss' | 'stale' | 'bypass' | 'coalesced' | 'error';
export type ByteSource = 'cache' | 'upstream' | 'peer';

const KINDS: readonly RequestKind[] = [
  'blob',
  'manifest',
  'tag',
  'tags',
  'referrers',
  'upload',
  'catalog',
  'token',
  'ping',
  'other',
];
const SOURCES: readonly ByteSource[] = ['cache', 'upstream', 'peer'];

/** What is told of requests by their labels. */
interface Labels {
  readonly kind: RequestKind;
  readonly method: string;
  readonly code: number;
  readonly result: Result;
  readonly upstream: string;
}
interface Answered extends Labels {
  readonly seconds: number;
  readonly firstByteSeconds: number;
}
interface Answers extends Labels {
  readonly requests: {count: number};
  readonly duration: Times;
  readonly firstByte: Times;
}
/** How a login ended. */
export type LoginOutcome = (typeof LOGIN_OUTCOMES)[number];
const LOGIN_OUTCOMES = ['right', 'wrong', 'throttled', 'busy'] as const;
/** Why a direct listener refused: nobody was named, wrong credentials, too many guesses, no right to do it. */
export type Refusal = (typeof REFUSALS)[number];
const REFUSALS = ['unnamed', 'credentials', 'guesses', 'rights'] as const;

/** What Prometheus scrapes (E-001…E-014). Label values are bounded: never a repository, a tag, a digest or an address. */
export class Metrics {
  readonly registry = new Registry();
  readonly #page = newMetricPage(this.registry, DURATION_BUCKETS);
  readonly #requests = this.#page.tallied('requests_total', 'Requests answered', [
    'kind',
    'method',
    'code',
    'result',
    'upstream',
  ]);
  readonly #duration = this.#page.histogram(
    'request_duration_seconds',
    'From a request to the last byte of its answer',
    ['kind', 'result'],
  );
  readonly #firstByte = this.#page.histogram('first_byte_seconds', 'From a request to the first byte of its answer', [
    'result',
  ]);
  readonly #responseBytes = this.#page.tallied(
    'response_bytes_total',
    'Bytes of content sent to clients, by where they came from',
    ['source'],
  );
  readonly #savedBytes = this.#page.tallied(
    'upstream_saved_bytes_total',
    'Bytes sent to clients that no upstream had to send again',
    ['source'],
  );
  readonly upstreamRequests = this.#page.counter('upstream_requests_total', 'Requests to upstreams', [
    'upstream',
    'code',
  ]);
  readonly upstreamDuration = this.#page.histogram(
    'upstream_duration_seconds',
    'From a request to an upstream to the headers of its answer',
    ['upstream'],
  );
  readonly #upstreamBytes = this.#page.tallied('upstream_bytes_total', 'Bytes of blobs received, by kind of source', [
    'source',
  ]);
  readonly rateLimitRemaining = this.#page.gauge(
    'upstream_ratelimit_remaining',
    'What the upstream last said is left of its limit',
    ['upstream'],
  );
  readonly upstreamOpen = this.#page.gauge(
    'upstream_circuit_open',
    'Whether the upstream is not asked because it failed repeatedly',
    ['upstream'],
  );
  readonly tokenFetches = this.#page.counter('token_fetches_total', 'Tokens fetched from token servers', [
    'upstream',
    'outcome',
  ]);
  readonly fillsInflight = this.#page.gauge('fills_inflight', 'Downloads under way');
  readonly fillFailures = this.#page.counter('fill_failures_total', 'Downloads that failed', ['reason']);
  readonly digestMismatch = this.#page.counter('digest_mismatch_total', 'Content whose digest or size was wrong', [
    'upstream',
  ]);
  readonly clientAborts = this.#page.counter('client_aborts_total', 'Answers that the client did not wait for', [
    'kind',
  ]);
  readonly resumes = this.#page.counter('resumes_total', 'Transfers continued in the middle', ['side']);
  readonly stale = this.#page.counter('stale_responses_total', 'Answers that the upstream could not confirm', [
    'upstream',
    'reason',
  ]);
  readonly withoutCredentials = this.#page.counter(
    'without_credentials_total',
    'Requests sent on to the upstream itself because the node has no credentials for it',
    ['upstream'],
  );
  readonly bypasses = this.#page.counter('bypasses_total', 'Blobs passed through without being kept', ['reason']);
  readonly storeFailures = this.#page.counter('store_failures_total', 'Operations in which the cache could not help', [
    'operation',
  ]);
  readonly quarantined = this.#page.counter('quarantined_total', 'Blobs found wrong on disk');
  readonly cacheBytes = this.#page.gauge('cache_bytes', 'Bytes of whole blobs in the cache');
  readonly cacheMaxBytes = this.#page.gauge('cache_max_bytes', 'The limit of the cache');
  readonly cacheCapacityBytes = this.#page.gauge('cache_capacity_bytes', 'What the cache may hold as the disk is now');
  readonly cacheObjects = this.#page.gauge('cache_objects', 'What the cache holds', ['kind']);
  readonly cacheEvictions = this.#page.counter('cache_evictions_total', 'Blobs dropped from the cache', ['reason']);
  readonly cacheEvictedBytes = this.#page.counter('cache_evicted_bytes_total', 'Bytes dropped from the cache', [
    'reason',
  ]);
  readonly diskFree = this.#page.gauge('disk_free_bytes', 'Free bytes of the file system that the cache is on');
  readonly uploadsOpen = this.#page.gauge('uploads_open', 'Requests that are sending a blob to be hosted here');
  readonly hostedBytes = this.#page.gauge('hosted_bytes', 'Bytes of what is hosted here, which is never evicted');
  readonly hostedObjects = this.#page.gauge('hosted_objects', 'Blobs and manifests that are hosted here');
  readonly hostedCollectedBytes = this.#page.counter(
    'hosted_collected_bytes_total',
    'Bytes freed because nothing hosted referred to them',
  );
  readonly ssrfDenied = this.#page.counter('ssrf_denied_total', 'Addresses that the agent refused to ask', ['where']);
  readonly logins = this.#page.counter('logins_total', 'Who came to a direct listener with a password or a token', [
    'outcome',
  ]);
  readonly refusals = this.#page.counter('refusals_total', 'Requests that a direct listener refused', ['reason']);
  readonly filesOk = this.#page.gauge(
    'listener_file_ok',
    'Whether the certificate (tls) or the users of the direct listeners could be read when they last changed',
    ['kind'],
  );
  readonly nodeFolders = this.#page.gauge(
    'node_folders',
    "Folders of the node's containerd that name this agent, were left alone, or could not be written",
    ['outcome'],
  );
  readonly configReloaded = this.#page.gauge(
    'config_reload_success_timestamp_seconds',
    'When the configuration was last read well',
  );
  readonly configReloadOk = this.#page.gauge(
    'config_last_reload_successful',
    'Whether the last reload of the configuration succeeded',
  );
  readonly logDropped = this.#page.counter(
    'log_lines_dropped_total',
    'Log lines dropped because standard output was too slow',
  );
  readonly unexpectedErrors = this.#page.counter(
    'unexpected_errors_total',
    'Errors that nothing was prepared for: bugs',
  );
  readonly #buildInfo = this.#page.gauge('build_info', 'Always 1; the labels say what runs', ['version', 'node']);
  readonly #answers = new Map<string, Answers>();
  #latest: Answers | undefined;
  readonly #received = new Map<Source['kind'], {count: number}>();
  readonly #sent = new Map<ByteSource, {readonly sent: {count: number}; readonly saved: {count: number}}>();

  constructor(version: string) {
    collectDefaultMetrics({register: this.registry});
    this.#buildInfo.set({version, node: process.versions.node}, 1);
    for (const kind of KINDS) this.clientAborts.inc({kind}, 0);
    for (const source of SOURCES) {
      this.#responseBytes.inc({source}, 0);
      this.#savedBytes.inc({source}, 0);
      this.#sent.set(source, {sent: this.#responseBytes.tally({source}), saved: this.#savedBytes.tally({source})});
    }
    for (const source of ['upstream', 'mirror', 'peer', 'hosted'] as const) {
      this.#upstreamBytes.inc({source}, 0);
      this.#received.set(source, this.#upstreamBytes.tally({source}));
    }
    for (const reason of ['integrity', 'upstream', 'store', 'abandoned']) this.fillFailures.inc({reason}, 0);
    for (const reason of ['full', 'never', 'proof']) this.bypasses.inc({reason}, 0);
    for (const reason of ['size', 'free', 'idle', 'removed']) {
      this.cacheEvictions.inc({reason}, 0);
      this.cacheEvictedBytes.inc({reason}, 0);
    }
    for (const where of ['upstream', 'redirect', 'realm']) this.ssrfDenied.inc({where}, 0);
    for (const side of ['client', 'upstream']) this.resumes.inc({side}, 0);
    for (const kind of ['blob', 'manifest', 'tag']) this.cacheObjects.set({kind}, 0);
    for (const outcome of LOGIN_OUTCOMES) this.logins.inc({outcome}, 0);
    for (const reason of REFUSALS) this.refusals.inc({reason}, 0);
  }

  /** One answered request. Looking labels up costs more than counting: requests mostly are as the last one was. */
  answered(what: Answered): void {
    const latest = this.#latest;
    const answers = latest !== undefined && isSame(latest, what) ? latest : this.#answersOf(what);
    answers.requests.count++;
    answers.duration.observe(what.seconds);
    answers.firstByte.observe(what.firstByteSeconds);
  }

  #answersOf({kind, method, code, result, upstream}: Answered): Answers {
    const key = `${kind} ${method} ${code} ${result} ${upstream}`;
    let answers = this.#answers.get(key);
    if (answers === undefined) {
      answers = {
        kind,
        method,
        code,
        result,
        upstream,
        requests: this.#requests.tally({kind, method, code: String(code), result, upstream}),
        duration: this.#duration.times({kind, result}),
        firstByte: this.#firstByte.times({result}),
      };
      this.#answers.set(key, answers); // as bounded as the labels are
    }
    return (this.#latest = answers);
  }

  /** Bytes of a blob, from whatever kind of source. */
  received(source: Source['kind'], bytes: number): void {
    const tally = this.#received.get(source);
    if (tally !== undefined) tally.count += bytes; // all kinds are there from the start
  }

  /** Bytes of a body. What came from the cache, or arrived for somebody else anyway, no upstream sent for this client. */
  sentBytes(source: ByteSource, bytes: number, result: Result): void {
    const tallies = this.#sent.get(source);
    if (tallies === undefined) return; // all sources are there from the start
    tallies.sent.count += bytes;
    if (source === 'cache' || result === 'coalesced') tallies.saved.count += bytes;
  }
}

function isSame(a: Labels, b: Labels): boolean {
  return (
    a.kind === b.kind &&
    a.method === b.method &&
    a.code === b.code &&
    a.result === b.result &&
    a.upstream === b.upstream
  );
}

/** The method as a label: what is not expected is one value. */
export function methodLabel(method: string): string {
  return ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE'].includes(method) ? method : 'other';
}
