import assert from 'node:assert/strict';
import type {KubeClient} from '../kube/client.ts';
import {KubeError} from '../kube/error.ts';
import type {KubeObject, ResourceType} from '../kube/object.ts';
import {CLUSTER_IMAGE_POLICIES, PODS} from '../kube/resources.ts';
import {FakeRegistry} from './fake-registry.ts';
import {Kubernetes} from './peers/kubernetes.ts';
import {WebhookProcess, type WebhookOptions} from './peers/webhook.ts';
import {poll} from './poll.ts';

/** As far as these tests look. */
export interface Pod extends KubeObject {
  readonly spec: {
    readonly containers: readonly {readonly name: string; readonly image: string; readonly imagePullPolicy?: string}[];
    readonly initContainers?: readonly {readonly name: string; readonly image: string}[];
    readonly ephemeralContainers?: readonly {readonly name: string; readonly image: string}[];
    readonly volumes?: readonly {readonly name: string; readonly image?: {readonly reference: string}}[];
  };
}

export interface Created {
  readonly pod: Pod;
  readonly warnings: readonly string[];
}

/** Registries that the fake stands for. */
const HOSTS = ['reg.test', 'docker.io', 'quay.io', 'ghcr.io'];

/** `upstreams` of a configuration with which all names lead to the fake. */
export function upstreamsAt(url: string): readonly object[] {
  return HOSTS.map((host) => ({host, url}));
}

/** A real API server that calls a real `noost webhook`, whose registries are all the fake. */
export class WebhookCluster implements AsyncDisposable {
  readonly kubernetes: Kubernetes;
  readonly registry: FakeRegistry;
  readonly webhook: WebhookProcess;

  private constructor(kubernetes: Kubernetes, registry: FakeRegistry, webhook: WebhookProcess) {
    this.kubernetes = kubernetes;
    this.registry = registry;
    this.webhook = webhook;
  }

  static async start(options: WebhookOptions & {readonly registryAuth?: 'basic'} = {}): Promise<WebhookCluster> {
    await using stack = new AsyncDisposableStack();
    const registry = stack.use(await FakeRegistry.start({auth: options.registryAuth ?? 'none'}));
    const kubernetes = stack.use(await Kubernetes.start());
    await kubernetes.apply('manifests/crds');
    const config = {upstreams: upstreamsAt(registry.url), ...options.config};
    const webhook = stack.use(await WebhookProcess.start(kubernetes, {...options, config}));
    stack.move();
    return new WebhookCluster(kubernetes, registry, webhook);
  }

  get client(): KubeClient {
    return this.kubernetes.client;
  }

  /** A namespace of its own for a test. */
  namespace(name: string, labels: Readonly<Record<string, string>> = {}): Promise<string> {
    return this.kubernetes.namespace(name, labels);
  }

  /** Creates a policy for the namespaces of this name, and waits until the webhook judges by it. */
  async policy(namespace: string, spec: object): Promise<void> {
    const namespaceSelector = {matchLabels: {'kubernetes.io/metadata.name': namespace}};
    await this.client.create(
      CLUSTER_IMAGE_POLICIES,
      {},
      {metadata: {name: namespace}, spec: {mode: 'Enforce', namespaceSelector, ...spec}},
    );
    await this.untilInEffect(CLUSTER_IMAGE_POLICIES, namespace);
  }

  /** The status says so, by the leader, which is the only replica here. */
  async untilInEffect(type: ResourceType, name: string, namespace?: string): Promise<void> {
    await poll(`${type.kind} ${name} is in effect`, async () => {
      const {status, metadata} = await this.client.get<
        KubeObject & {status?: {observedGeneration?: number; conditions?: {status: string}[]}}
      >(type, {name, namespace});
      return (
        status?.observedGeneration === metadata.generation && status?.conditions?.every((one) => one.status === 'True')
      );
    });
  }

  /** @throws {KubeError} */
  async create(namespace: string, pod: object, options: {readonly dryRun?: boolean} = {}): Promise<Created> {
    const warnings: string[] = [];
    const made = await this.client.create<object, Pod>(PODS, {namespace}, inNamespace(pod, namespace), {
      ...options,
      onWarning: (text) => warnings.push(text),
    });
    return {pod: made, warnings};
  }

  get(namespace: string, name: string): Promise<Pod> {
    return this.client.get<Pod>(PODS, {namespace, name});
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.webhook[Symbol.asyncDispose]();
    await this.kubernetes[Symbol.asyncDispose]();
    await this.registry[Symbol.asyncDispose]();
  }
}

/** The pod of test/admission-rig.ts says a namespace. */
function inNamespace(pod: object, namespace: string): object {
  const {metadata = {}, ...rest} = pod as {metadata?: object};
  return {...rest, metadata: {...metadata, namespace}};
}

/** The webhook's own refusal: not the API server's, and not that it could not be asked. @returns its message. */
export async function refused(work: Promise<unknown>, by = 'validate.noost.dev'): Promise<string> {
  const error = await work.then(
    () => assert.fail('It was admitted'),
    (failure: unknown) => failure,
  );
  assert.ok(error instanceof KubeError, String(error));
  assert.match(error.message, new RegExp(`admission webhook "${by.replaceAll('.', '\\.')}" denied the request`));
  return error.message;
}
