import {once} from 'node:events';
import {createServer} from 'node:http';
import type {AddressInfo} from 'node:net';
import {newNameMap, type NameMapOptions} from '../oci/name-map.ts';
import {policyFor} from '../oci/upstream-policy.ts';
import type {UpstreamConfig} from '../oci/upstream-config.ts';
import {FakeRegistry} from './fake-registry.ts';
import {newUpstreams} from './upstream-rig.ts';
import type {FailurePolicy, PinConfig} from '../webhook/config/shape.ts';
import {compilePolicies} from '../webhook/policy/compile.ts';
import {Resolver, type Rights} from '../webhook/resolve/resolver.ts';
import type {Labels, ReviewContext} from '../webhook/admission/context.ts';
import {newReviewHandler, type SharedContext, type Told} from '../webhook/admission/handler.ts';
import {Identities} from '../webhook/admission/identity.ts';
import {Load} from '../webhook/admission/load.ts';
import {ADMISSION_PATHS, type Pass} from '../webhook/admission/paths.ts';

export const OWN_NAMESPACE = 'noost-system';
const HOUR = 3_600_000;
const REGISTRIES = ['reg.test', 'docker.io', 'quay.io', 'ghcr.io'];

/** What a review got, as the API server reads it. */
export interface Reviewed {
  readonly allowed: boolean;
  readonly message: string;
  readonly code: number | undefined;
  readonly warnings: readonly string[];
  /** Pointer → value. */
  readonly patch: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
}

export interface RigOptions {
  readonly policies?: readonly unknown[];
  readonly pin?: Partial<PinConfig>;
  readonly rewrite?: Partial<NameMapOptions>;
  readonly failurePolicy?: FailurePolicy;
  readonly upstream?: Partial<UpstreamConfig>;
}

/** What a review says beside its object. */
export interface Asked {
  readonly operation?: 'CREATE' | 'UPDATE' | 'DELETE';
  readonly oldObject?: object;
  readonly subResource?: string;
  readonly namespace?: string;
  readonly user?: {readonly username: string; readonly groups: readonly string[]};
  readonly dryRun?: boolean;
  readonly timeout?: string;
}

/**
 * The webhook without a cluster: its handler over HTTP, with twins of what the cluster gives and a fake registry behind
 * reg.test, docker.io, quay.io and ghcr.io.
 */
export class AdmissionRig implements AsyncDisposable {
  readonly fake: FakeRegistry;
  readonly told: Told[] = [];
  readonly errors: unknown[] = [];
  readonly shed: string[] = [];
  readonly resolver: Resolver;
  /** Of namespaces; one that is not here cannot be learnt. */
  readonly namespaces = new Map<string, Labels>([
    ['team-a', {}],
    ['team-b', {env: 'prod'}],
    ['kube-system', {}],
  ]);
  notReady: string | undefined;
  context: SharedContext;
  readonly #server = createServer();
  readonly #load = new Load();
  readonly #upstreams: ReturnType<typeof newUpstreams>;

  private constructor(fake: FakeRegistry, options: RigOptions) {
    this.fake = fake;
    const configs = REGISTRIES.map((host): UpstreamConfig => ({...upstreamAt(host, fake.url), ...options.upstream}));
    this.#upstreams = newUpstreams(configs);
    this.resolver = new Resolver({
      policy: (name) => policyFor(configs, name),
      allowPrivate: false,
      events: {resolved: () => undefined},
    });
    const rights: Rights = {key: 'own', upstream: (name) => this.#upstreams.for(name)};
    this.context = {
      policies: compilePolicies([], {ownNamespace: OWN_NAMESPACE}).set,
      identities: new Identities(
        newNameMap({mode: 'none', endpoint: 'localhost:5055', prefixes: [], ...options.rewrite}),
      ),
      pin: {enabled: true, namespaces: [], owners: [], pullSecretNamespaces: [], ...options.pin},
      failurePolicy: options.failurePolicy ?? 'Fail',
      ownNamespace: OWN_NAMESPACE,
      resolver: this.resolver,
      nowMs: Date.now(),
      namespaceLabels: (namespace) => {
        const labels = this.namespaces.get(namespace);
        return labels === undefined ? Promise.reject(new Error('no such namespace')) : Promise.resolve(labels);
      },
      rightsFor: () => Promise.resolve(rights),
      phase: () => undefined,
    };
    this.setPolicies(options.policies ?? []);
    this.#server.on(
      'request',
      newReviewHandler({
        load: this.#load,
        context: () => (this.notReady === undefined ? this.context : {notReady: this.notReady}),
        told: (told) => this.told.push(told),
        shed: (reason) => this.shed.push(reason),
        failed: (_pass, error) => this.errors.push(error),
      }),
    );
  }

  static async start(options: RigOptions = {}): Promise<AdmissionRig> {
    const rig = new AdmissionRig(await FakeRegistry.start(), options);
    rig.#server.listen(0, '127.0.0.1');
    await once(rig.#server, 'listening');
    return rig;
  }

  get url(): string {
    return `http://127.0.0.1:${String((this.#server.address() as AddressInfo).port)}`; // never a pipe
  }

  setPolicies(objects: readonly unknown[]): void {
    this.with({policies: compilePolicies(objects, {ownNamespace: OWN_NAMESPACE}).set});
  }

  with(more: Partial<ReviewContext>): void {
    this.context = {...this.context, ...more};
  }

  /** Sends a review and reads the answer as strictly as the API server does. */
  async review(pass: Pass, object: object | null, asked: Asked = {}): Promise<Reviewed> {
    const {timeout = '10s', ...more} = asked;
    const review = newReview(object, more);
    const response = await this.post(`${ADMISSION_PATHS[pass]}?timeout=${timeout}`, JSON.stringify(review));
    const text = await response.text();
    if (response.status !== 200) throw new Error(`${String(response.status)}: ${text.trim()}`);
    return readAnswer(JSON.parse(text) as Answer, review.request.uid);
  }

  /** Both passes, as the API server goes through them. @returns the second's answer and the object as it would be kept. */
  async admit(object: object, asked: Asked = {}): Promise<Reviewed & {readonly object: object}> {
    const mutated = await this.review('mutate', object, asked);
    const patched = applyPatch(object, mutated.patch);
    const verdict = await this.review('validate', patched, asked);
    return {...verdict, warnings: [...mutated.warnings, ...verdict.warnings], patch: mutated.patch, object: patched};
  }

  post(path: string, body: string, type = 'application/json'): Promise<Response> {
    return fetch(`${this.url}${path}`, {method: 'POST', body, headers: {'content-type': type}});
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#load[Symbol.dispose]();
    this.#server.closeAllConnections();
    this.#server.close();
    await this.#upstreams.close();
    await this.fake[Symbol.asyncDispose]();
  }
}

function upstreamAt(host: string, url: string): UpstreamConfig {
  const stale = {down: HOUR, timeout: HOUR, tooManyRequests: HOUR, serverError: HOUR, notFound: 0};
  const none = {credentials: undefined, tls: undefined, mirrors: []};
  return {
    host,
    url,
    ...none,
    maxConnections: 8,
    freshForMs: 30_000,
    staleIfError: stale,
    offline: false,
    cache: 'always',
  };
}

function newReview(object: object | null, asked: Omit<Asked, 'timeout'>) {
  const {operation = 'CREATE', oldObject = null, namespace = 'team-a', user, ...more} = asked;
  const {apiVersion = 'v1', kind = 'Pod', metadata = {}} = (object ?? oldObject ?? {}) as Partial<Workload>;
  const [group = '', version = ''] = apiVersion.includes('/') ? apiVersion.split('/') : ['', apiVersion];
  const request = {
    uid: crypto.randomUUID(),
    kind: {group, version, kind},
    resource: {group, version, resource: `${kind.toLowerCase()}s`},
    name: metadata.name ?? '',
    namespace,
    operation,
    userInfo: user ?? {username: 'jane', groups: ['system:authenticated']},
    object,
    oldObject,
    dryRun: false,
    options: {apiVersion: 'meta.k8s.io/v1', kind: 'CreateOptions'},
    ...more,
  };
  return {apiVersion: 'admission.k8s.io/v1', kind: 'AdmissionReview', request};
}

interface Workload {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: {readonly name?: string};
}

interface Answer {
  readonly apiVersion: string;
  readonly kind: string;
  readonly response: {
    readonly uid: string;
    readonly allowed: boolean;
    readonly status?: {readonly code: number; readonly message: string};
    readonly patch?: string;
    readonly patchType?: string;
    readonly warnings?: readonly string[];
    readonly auditAnnotations?: Readonly<Record<string, string>>;
  };
}

function readAnswer({apiVersion, kind, response}: Answer, uid: string): Reviewed {
  const {allowed, status, patch, patchType, warnings = [], auditAnnotations = {}} = response;
  if (apiVersion !== 'admission.k8s.io/v1' || kind !== 'AdmissionReview' || response.uid !== uid)
    throw new Error('Not an answer to this review');
  if ((patch === undefined) !== (patchType !== 'JSONPatch')) throw new Error('A patch goes with its type');
  for (const key of Object.keys(auditAnnotations))
    if (!/^[a-z][a-z-]{0,62}$/.test(key)) throw new Error(`Not a key of an audit annotation: ${key}`);
  const operations = JSON.parse(Buffer.from(patch ?? '', 'base64').toString() || '[]') as {
    path: string;
    value: string;
  }[];
  return {
    allowed,
    message: status?.message ?? '',
    code: status?.code,
    warnings,
    patch: Object.fromEntries(operations.map(({path, value}) => [path, value])),
    annotations: auditAnnotations,
  };
}

/** Of replacements alone, which is all that there are. */
function applyPatch(object: object, patch: Readonly<Record<string, string>>): object {
  const copy = structuredClone(object) as Record<string, unknown>;
  for (const [pointer, value] of Object.entries(patch)) {
    const steps = pointer.slice(1).split('/');
    const last = steps.pop() ?? '';
    const parent = steps.reduce((at: Record<string, unknown>, step) => at[step] as Record<string, unknown>, copy);
    if (!(last in parent)) throw new Error(`Nothing to replace at ${pointer}`);
    parent[last] = value;
  }
  return copy;
}

/** A pod of these images, named c0, c1, …; more goes into its spec. */
export function pod(
  images: readonly string[],
  more: {readonly spec?: object; readonly metadata?: object} = {},
): object {
  const containers = images.map((image, i) => ({name: `c${String(i)}`, image, imagePullPolicy: 'IfNotPresent'}));
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {name: 'app', namespace: 'team-a', ...more.metadata},
    spec: {containers, serviceAccountName: 'default', ...more.spec},
  };
}
