import {Counter, Gauge, Histogram, Registry, collectDefaultMetrics} from 'prom-client';

/** Everything is under this prefix (E-001). */
const PREFIX = 'noost_';
/** To beyond a minute (E-003): a cold layer of some GiB takes that long. */
const DURATION_BUCKETS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 180, 600];

export type RequestKind = 'blob' | 'manifest' | 'tag' | 'tags' | 'referrers' | 'ping' | 'other';
export type Result = 'hit' | 'miss' | 'stale' | 'bypass' | 'coalesced' | 'error';
export type ByteSource = 'cache' | 'upstream' | 'peer';

const KINDS: readonly RequestKind[] = ['blob', 'manifest', 'tag', 'tags', 'referrers', 'ping', 'other'];
const SOURCES: readonly ByteSource[] = ['cache', 'upstream', 'peer'];

/** What Prometheus scrapes (E-001…E-014). Label values are bounded: never a repository, a tag, a digest or an address. */
export class Metrics {
  readonly registry = new Registry();
  readonly #requests = this.#counter('requests_total', 'Requests answered', [
    'kind',
    'method',
    'code',
    'result',
    'upstream',
  ]);
  readonly #duration = this.#histogram('request_duration_seconds', 'From a request to the last byte of its answer', [
    'kind',
    'result',
  ]);
  readonly #firstByte = this.#histogram('first_byte_seconds', 'From a request to the first byte of its answer', [
    'result',
  ]);
  readonly responseBytes = this.#counter(
    'response_bytes_total',
    'Bytes of content sent to clients, by where they came from',
    ['source'],
  );
  readonly savedBytes = this.#counter(
    'upstream_saved_bytes_total',
    'Bytes sent to clients that no upstream had to send again',
    ['source'],
  );
  readonly upstreamRequests = this.#counter('upstream_requests_total', 'Requests to upstreams', ['upstream', 'code']);
  readonly upstreamDuration = this.#histogram(
    'upstream_duration_seconds',
    'From a request to an upstream to the headers of its answer',
    ['upstream'],
  );
  readonly upstreamBytes = this.#counter('upstream_bytes_total', 'Bytes of blobs received, by kind of source', [
    'source',
  ]);
  readonly rateLimitRemaining = this.#gauge(
    'upstream_ratelimit_remaining',
    'What the upstream last said is left of its limit',
    ['upstream'],
  );
  readonly upstreamOpen = this.#gauge(
    'upstream_circuit_open',
    'Whether the upstream is not asked because it failed repeatedly',
    ['upstream'],
  );
  readonly tokenFetches = this.#counter('token_fetches_total', 'Tokens fetched from token servers', [
    'upstream',
    'outcome',
  ]);
  readonly fillsInflight = this.#gauge('fills_inflight', 'Downloads under way');
  readonly fillFailures = this.#counter('fill_failures_total', 'Downloads that failed', ['reason']);
  readonly digestMismatch = this.#counter('digest_mismatch_total', 'Content whose digest or size was wrong', [
    'upstream',
  ]);
  readonly clientAborts = this.#counter('client_aborts_total', 'Answers that the client did not wait for', ['kind']);
  readonly resumes = this.#counter('resumes_total', 'Transfers continued in the middle', ['side']);
  readonly stale = this.#counter('stale_responses_total', 'Answers that the upstream could not confirm', [
    'upstream',
    'reason',
  ]);
  readonly withoutCredentials = this.#counter(
    'without_credentials_total',
    'Requests sent on to the upstream itself because the node has no credentials for it',
    ['upstream'],
  );
  readonly bypasses = this.#counter('bypasses_total', 'Blobs passed through without being kept', ['reason']);
  readonly storeFailures = this.#counter('store_failures_total', 'Operations in which the cache could not help', [
    'operation',
  ]);
  readonly quarantined = this.#counter('quarantined_total', 'Blobs found wrong on disk');
  readonly cacheBytes = this.#gauge('cache_bytes', 'Bytes of whole blobs in the cache');
  readonly cacheMaxBytes = this.#gauge('cache_max_bytes', 'The limit of the cache');
  readonly cacheObjects = this.#gauge('cache_objects', 'What the cache holds', ['kind']);
  readonly cacheEvictions = this.#counter('cache_evictions_total', 'Blobs dropped from the cache', ['reason']);
  readonly cacheEvictedBytes = this.#counter('cache_evicted_bytes_total', 'Bytes dropped from the cache', ['reason']);
  readonly diskFree = this.#gauge('disk_free_bytes', 'Free bytes of the file system that the cache is on');
  readonly uploadsOpen = this.#gauge('uploads_open', 'Upload sessions of pushes; none in this version');
  readonly ssrfDenied = this.#counter('ssrf_denied_total', 'Addresses that the agent refused to ask', ['where']);
  readonly configReloaded = this.#gauge(
    'config_reload_success_timestamp_seconds',
    'When the configuration was last read well',
  );
  readonly configReloadOk = this.#gauge(
    'config_last_reload_successful',
    'Whether the last reload of the configuration succeeded',
  );
  readonly logDropped = this.#counter(
    'log_lines_dropped_total',
    'Log lines dropped because standard output was too slow',
  );
  readonly unexpectedErrors = this.#counter('unexpected_errors_total', 'Errors that nothing was prepared for: bugs');
  readonly #buildInfo = this.#gauge('build_info', 'Always 1; the labels say what runs', ['version', 'node']);
  readonly #bound = new Map<string, {requests: {inc(): void}; duration: {observe(s: number): void}}>();
  readonly #sent = new Map<ByteSource, {sent: Counter.Internal; saved: Counter.Internal}>();
  readonly #firstBytes = new Map<Result, {observe(s: number): void}>();

  constructor(version: string) {
    collectDefaultMetrics({register: this.registry});
    this.#buildInfo.set({version, node: process.versions.node}, 1);
    for (const kind of KINDS) this.clientAborts.inc({kind}, 0);
    for (const source of SOURCES) this.responseBytes.inc({source}, 0);
    for (const source of SOURCES) this.savedBytes.inc({source}, 0);
    for (const source of ['upstream', 'mirror', 'peer', 'hosted']) this.upstreamBytes.inc({source}, 0);
    for (const reason of ['integrity', 'upstream', 'store', 'abandoned']) this.fillFailures.inc({reason}, 0);
    for (const reason of ['full', 'never', 'proof']) this.bypasses.inc({reason}, 0);
    for (const reason of ['size', 'free', 'idle']) this.cacheEvictions.inc({reason}, 0);
    for (const where of ['upstream', 'redirect', 'realm']) this.ssrfDenied.inc({where}, 0);
    for (const side of ['client', 'upstream']) this.resumes.inc({side}, 0);
    for (const kind of ['blob', 'manifest', 'tag']) this.cacheObjects.set({kind}, 0);
  }

  /** One answered request. Looking labels up costs more than counting: the counters of a combination are kept. */
  answered(what: {
    kind: RequestKind;
    method: string;
    code: number;
    result: Result;
    upstream: string;
    seconds: number;
    firstByteSeconds: number;
  }): void {
    const {kind, method, code, result, upstream} = what;
    const key = `${kind} ${method} ${code} ${result} ${upstream}`;
    let bound = this.#bound.get(key);
    if (bound === undefined) {
      bound = {
        requests: this.#requests.labels({kind, method, code: String(code), result, upstream}),
        duration: this.#duration.labels({kind, result}),
      };
      this.#bound.set(key, bound); // as bounded as the labels are
    }
    bound.requests.inc();
    bound.duration.observe(what.seconds);
    let first = this.#firstBytes.get(result);
    if (first === undefined) this.#firstBytes.set(result, (first = this.#firstByte.labels({result})));
    first.observe(what.firstByteSeconds);
  }

  /** Bytes of a body. What came from the cache, or arrived for somebody else anyway, no upstream sent for this client. */
  sentBytes(source: ByteSource, bytes: number, result: Result): void {
    let bound = this.#sent.get(source);
    if (bound === undefined) {
      bound = {sent: this.responseBytes.labels({source}), saved: this.savedBytes.labels({source})};
      this.#sent.set(source, bound);
    }
    bound.sent.inc(bytes);
    if (source === 'cache' || result === 'coalesced') bound.saved.inc(bytes);
  }

  #counter(name: string, help: string, labelNames: readonly string[] = []): Counter {
    return new Counter({name: PREFIX + name, help, labelNames, registers: [this.registry]});
  }
  #gauge(name: string, help: string, labelNames: readonly string[] = []): Gauge {
    return new Gauge({name: PREFIX + name, help, labelNames, registers: [this.registry]});
  }
  #histogram(name: string, help: string, labelNames: readonly string[]): Histogram {
    return new Histogram({
      name: PREFIX + name,
      help,
      labelNames,
      buckets: DURATION_BUCKETS,
      registers: [this.registry],
    });
  }
}

/** The method as a label: what is not expected is one value. */
export function methodLabel(method: string): string {
  return ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE'].includes(method) ? method : 'other';
}
