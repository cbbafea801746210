import {Registry, collectDefaultMetrics} from 'prom-client';
import {newMetricPage} from '../proc/metric-page.ts';
import type {Times} from '../proc/tally.ts';
import type {Outcome} from './policy/shape.ts';
import {PHASES} from './admission/context.ts';
import {ADMISSION_PATHS} from './admission/paths.ts';

const DURATION_BUCKETS = [0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];
/** Policies that have a label of their own; what is beyond counts as `other` (E-002). */
const MAX_POLICIES = 500;
const OTHER = 'other';

/** The webhook's metrics. Names, kinds and labels are in docs/webhook.md, and a test holds them equal. */
export class WebhookMetrics {
  readonly registry = new Registry();
  readonly #page = newMetricPage(this.registry, DURATION_BUCKETS);
  readonly reviews = this.#page.tallied('admission_reviews_total', 'Reviews that were answered', [
    'pass',
    'operation',
    'reason',
  ]);
  readonly duration = this.#page.histogram('admission_duration_seconds', 'From the arrival of a review to its answer', [
    'pass',
  ]);
  readonly phases = this.#page.histogram('admission_phase_duration_seconds', 'Parts of a review', ['phase']);
  readonly inFlight = this.#page.gauge('admission_in_flight', 'Reviews that are being answered');
  readonly shed = this.#page.counter('admission_shed_total', 'Reviews that were not taken on: too much to do', [
    'reason',
  ]);
  readonly lag = this.#page.gauge('admission_event_loop_lag_seconds', 'The longest that the process was late, lately');
  readonly refusals = this.#page.counter('policy_refusals_total', 'Images that a policy did not accept', [
    'policy',
    'mode',
    'reason',
  ]);
  readonly policies = this.#page.gauge('policies', 'Policies that are in effect');
  readonly resolved = this.#page.tallied('resolve_total', 'Tags that were resolved for reviews', ['result']);
  readonly resolveDuration = this.#page.histogram(
    'resolve_duration_seconds',
    'From a question about a tag to its answer',
    ['result'],
  );
  readonly known = this.#page.gauge('resolve_known_tags', 'Tags whose digest is in memory');
  readonly upstreamRequests = this.#page.counter(
    'upstream_requests_total',
    'Requests to registries and token servers',
    ['upstream', 'code'],
  );
  readonly upstreamDuration = this.#page.histogram(
    'upstream_request_duration_seconds',
    "A request's time to its headers",
    ['upstream'],
  );
  readonly upstreamOpen = this.#page.gauge('upstream_circuit_open', 'Whether an upstream is taken for down', [
    'upstream',
  ]);
  readonly rateLimitRemaining = this.#page.gauge('upstream_ratelimit_remaining', 'What an upstream says is left', [
    'upstream',
  ]);
  readonly tokenFetches = this.#page.counter('upstream_token_fetches_total', 'Tokens asked of token servers', [
    'upstream',
    'outcome',
  ]);
  readonly ssrfDenied = this.#page.counter('ssrf_denied_total', 'Addresses that were refused to be asked', ['where']);
  readonly certificateExpiry = this.#page.gauge(
    'certificate_expiry_timestamp_seconds',
    'When the certificate that is served ends',
  );
  readonly ready = this.#page.gauge('webhook_ready', 'Whether this replica is ready');
  readonly leader = this.#page.gauge('webhook_leader', 'Whether this replica keeps certificates and configurations');
  readonly eventsDropped = this.#page.counter('events_dropped_total', 'Kubernetes Events that could not be written');
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
  readonly #answers = new Map<string, {readonly reviews: {count: number}; readonly duration: Times}>();
  readonly #phases = new Map<string, Times>();
  readonly #resolves = new Map<string, {readonly count: {count: number}; readonly duration: Times}>();
  readonly #policyNames = new Set<string>();

  constructor(version: string) {
    collectDefaultMetrics({register: this.registry});
    this.#buildInfo.set({version, node: process.versions.node}, 1);
    for (const reason of ['in-flight', 'bytes', 'lag']) this.shed.inc({reason}, 0);
    for (const result of ['hit', 'miss', 'stale', 'negative', 'failed']) {
      this.resolved.inc({result}, 0);
      const duration = this.resolveDuration.times({result});
      this.#resolves.set(result, {count: this.resolved.tally({result}), duration});
    }
    for (const where of ['upstream', 'redirect', 'realm']) this.ssrfDenied.inc({where}, 0);
    for (const pass of Object.keys(ADMISSION_PATHS)) this.duration.times({pass});
    for (const phase of PHASES) this.#phases.set(phase, this.phases.times({phase}));
  }

  /** One answered review. Looking labels up costs more than counting: those of a combination are kept. */
  answered(pass: string, operation: string, reason: string, seconds: number): void {
    const key = `${pass} ${operation} ${reason}`;
    let answers = this.#answers.get(key);
    if (answers === undefined) {
      answers = {reviews: this.reviews.tally({pass, operation, reason}), duration: this.duration.times({pass})};
      this.#answers.set(key, answers); // as bounded as the labels are
    }
    answers.reviews.count++;
    answers.duration.observe(seconds);
  }

  /** A tag was resolved, or could not be. */
  tagResolved(result: string, seconds: number): void {
    const resolves = this.#resolves.get(result);
    if (resolves === undefined) return; // all results are there from the start
    resolves.count.count++;
    resolves.duration.observe(seconds);
  }

  phase(name: string, seconds: number): void {
    this.#phases.get(name)?.observe(seconds);
  }

  refused({policy, mode, reason}: Outcome): void {
    const {name} = policy;
    const isKnown = this.#policyNames.has(name) || this.#policyNames.size < MAX_POLICIES;
    if (isKnown) this.#policyNames.add(name);
    this.refusals.inc({policy: isKnown ? name : OTHER, mode, reason});
  }
}
