import {rmSync} from 'node:fs';
import {mkdir, mkdtemp, readFile, rm, writeFile} from 'node:fs/promises';
import process from 'node:process';
import {tmpdir} from 'node:os';
import {join, relative} from 'node:path';
import {parse} from 'yaml';
import type {KubeObject} from '../../kube/object.ts';
import {PODS} from '../../kube/resources.ts';
import {DockerRegistry, type RegistryAuth} from '../peers/docker-registry.ts';
import {makeImage, type Image} from '../peers/image.ts';
import {Kubernetes, type KubernetesOptions} from '../peers/kubernetes.ts';
import {makeNoostImage, type NoostImage} from '../peers/noost-image.ts';
import {Prometheus} from '../peers/prometheus.ts';
import {busyboxImage} from '../peers/sample-images.ts';
import {Skopeo} from '../peers/skopeo.ts';
import {run} from '../peers/run.ts';
import {makeTree} from '../node-tree.ts';
import {poll} from '../poll.ts';
import {pod} from './workloads.ts';

const CHECKOUT = join(import.meta.dirname, '../..');
/** The control plane's address, as the nodes see it: upstream registries listen there. */
const OUTSIDE = '10.77.0.1';
export const NAMESPACE = 'noost-system';
export const LOGIN = {username: 'robot', password: 'correct-horse'} as const;
/** Scheduling, pulling and starting, on a machine that does much else. */
export const POD_MS = 120_000;
const AGENTS = 'app.kubernetes.io/component=agent';
export const NODES = ['n1', 'n2'] as const;

export interface Pod extends KubeObject {
  readonly spec: {readonly nodeName?: string; readonly containers: readonly {readonly image: string}[]};
  readonly status?: {
    readonly phase?: string;
    readonly podIP?: string;
    readonly conditions?: readonly {readonly type: string; readonly status: string}[];
    readonly containerStatuses?: readonly {
      readonly ready: boolean;
      readonly imageID?: string;
      readonly containerID?: string;
      readonly restartCount: number;
    }[];
  };
}

export function isReady({status}: Pod): boolean {
  return status?.containerStatuses?.every(({ready}) => ready) ?? false;
}

function inControlPlane({folder}: Kubernetes): readonly string[] {
  return [join(CHECKOUT, 'test/cluster/cluster'), 'on', folder, 'cp'];
}

/** Of each part that is configured otherwise than it is shipped. */
export interface OverlaySettings {
  readonly agent?: object;
  readonly webhook?: object;
}

export interface ClusterRigOptions extends Pick<KubernetesOptions, 'env'> {
  /** @default made anew */
  readonly image?: NoostImage;
}

/** A cluster of two nodes with Noost's image on them, and three registries outside, under public names. */
export class ClusterRig implements AsyncDisposable {
  readonly folder: string;
  readonly kubernetes: Kubernetes;
  /** docker.io; each node knows by a file of its administrator's where it is. */
  readonly hub: DockerRegistry;
  /** quay.io; only agents know where it is. */
  readonly quay: DockerRegistry;
  /** registry.corp, where everything needs a login; by a file, too. */
  readonly corp: DockerRegistry;
  readonly #skopeo: Skopeo;
  #images = 0;

  private constructor(parts: Pick<ClusterRig, 'folder' | 'kubernetes' | 'hub' | 'quay' | 'corp'>) {
    ({folder: this.folder, kubernetes: this.kubernetes, hub: this.hub, quay: this.quay, corp: this.corp} = parts);
    this.#skopeo = new Skopeo(join(this.folder, 'skopeo'), inControlPlane(this.kubernetes));
  }

  static async start({env = {}, image: made}: ClusterRigOptions = {}): Promise<ClusterRig> {
    const folder = await mkdtemp(join(tmpdir(), 'noost-e2e-'));
    process.once('exit', () => rmSync(folder, {recursive: true, force: true})); // should it be ended before it is disposed of
    await mkdir(join(folder, 'image'));
    const [image, kubernetes] = await Promise.all([
      made ?? makeNoostImage(join(folder, 'image')),
      Kubernetes.start({nodes: NODES.length, env}),
    ]);
    const registry = async (name: string, auth: RegistryAuth = {kind: 'none'}): Promise<DockerRegistry> =>
      await DockerRegistry.start({
        folder: join(folder, name),
        host: OUTSIDE,
        inside: inControlPlane(kubernetes),
        auth,
        port: 5000 + ['hub', 'quay', 'corp'].indexOf(name),
      });
    const hub = await registry('hub');
    const quay = await registry('quay');
    const corp = await registry('corp', {kind: 'basic', ...LOGIN});
    const rig = new ClusterRig({folder, kubernetes, hub, quay, corp});
    for (const node of NODES) {
      // A file without any host counts for nothing with containerd 1.6.
      const at = ({url}: DockerRegistry): string =>
        `server = "${url}"\n[host."${url}"]\n  capabilities = ["pull", "resolve"]`;
      await makeTree(rig.certsOf(node), {
        'docker.io/hosts.toml': {file: `# ours\n${at(hub)}\n`, mode: 0o640},
        'registry.corp/hosts.toml': {file: at(corp)},
        'vault.corp/hosts.toml': {file: at(corp)},
        'broken.corp/hosts.toml': {file: at(hub)},
      });
      await kubernetes.on(node, ['ctr', '-n', 'k8s.io', 'images', 'import', image.archive]);
    }
    return rig;
  }

  /** containerd's configuration on a node, seen from outside. */
  etcOf(node: string): string {
    return join(this.kubernetes.folder, node, 'etc-containerd');
  }

  /** The node's folder of hosts.toml files in it. */
  certsOf(node: string): string {
    return join(this.etcOf(node), 'certs.d');
  }

  /** Makes an image that runs until it is told to end, and pushes it. Each has bytes of its own. */
  async push(registry: DockerRegistry, repository: string, tag = '1'): Promise<Image> {
    const name = `${repository}:${tag} ${String(this.#images++)}`;
    const image = await makeImage(join(this.folder, 'images', String(this.#images)), await busyboxImage(name));
    const login = registry === this.corp ? LOGIN : undefined;
    await this.#skopeo.push(image, `${registry.address}/${repository}:${tag}`, login);
    return image;
  }

  /**
   * An overlay over a folder of manifests/ as a user would make it: with settings besides those that are shipped.
   * @returns its folder, for `kubectl apply -k`.
   */
  async overlay(base: string, settings: OverlaySettings): Promise<string> {
    return await ClusterRig.overlayIn(this.folder, base, settings);
  }

  /** The same in another folder. */
  static async overlayIn(parent: string, base: string, settings: OverlaySettings): Promise<string> {
    const folder = join(parent, 'overlay');
    await mkdir(folder, {recursive: true});
    for (const [part, more] of Object.entries(settings) as [string, object][]) {
      const text = await readFile(join(CHECKOUT, `manifests/base/${part}/${part}.yaml`), 'utf8');
      await writeFile(
        join(folder, `${part}.yaml`),
        JSON.stringify({...(parse(text) as object), ...more}, undefined, 2),
      );
    }
    const replaced = (part: string): object => {
      return {name: `noost-${part}-config`, namespace: NAMESPACE, behavior: 'replace', files: [`${part}.yaml`]};
    };
    await writeFile(
      join(folder, 'kustomization.yaml'),
      JSON.stringify({
        apiVersion: 'kustomize.config.k8s.io/v1beta1',
        kind: 'Kustomization',
        resources: [relative(folder, join(CHECKOUT, 'manifests', base))],
        configMapGenerator: Object.keys(settings).map(replaced),
      }),
    );
    return folder;
  }

  /** A real Prometheus outside, that asks all agents and webhooks as a PodMonitor would. */
  async prometheus(pods: readonly Pod[]): Promise<Prometheus> {
    const targets = pods.map(({metadata, spec, status}) => {
      const component = metadata.labels?.['app.kubernetes.io/component'] ?? '';
      const labels = {job: `${NAMESPACE}/noost-${component}`, pod: metadata.name ?? '', node: spec.nodeName ?? ''};
      return {address: `${status?.podIP ?? ''}:${component === 'agent' ? '5057' : '5058'}`, labels};
    });
    const inside = inControlPlane(this.kubernetes);
    return await Prometheus.start({folder: join(this.folder, 'prometheus'), listen: '127.0.0.1:9090', targets, inside});
  }

  async pods(namespace: string, labelSelector?: string): Promise<readonly Pod[]> {
    return (await this.kubernetes.client.list<Pod>(PODS, {namespace, labelSelector})).items;
  }

  /** Waits until so many pods run, all of them. */
  async running(label: string, count: number): Promise<readonly Pod[]> {
    return await this.#ready('default', label, count);
  }

  async agents(): Promise<readonly Pod[]> {
    return await this.#ready(NAMESPACE, AGENTS, NODES.length);
  }

  async agentOn(node: string): Promise<Pod> {
    const found = (await this.agents()).find(({spec}) => spec.nodeName === node);
    if (found === undefined) throw new Error(`no agent on ${node}`);
    return found;
  }

  /** Makes a pod on a node and waits until it runs. @returns how long that took, in seconds. */
  async timed(name: string, image: string, node: string): Promise<number> {
    const begun = performance.now();
    await this.apply(pod(name, image, {nodeName: node}));
    await this.running(`app=${name}`, 1);
    return (performance.now() - begun) / 1000;
  }

  async apply(text: string): Promise<void> {
    await this.kubernetes.kubectl(['apply', '-f', '-'], text);
  }

  /** The program, as a person at a laptop runs it. @throws {Error} with what it wrote if it fails. */
  async noost(...words: readonly string[]): Promise<string> {
    const env = {...process.env, KUBECONFIG: this.kubernetes.kubeconfig};
    return (await run(join(CHECKOUT, 'noost'), words, {env, timeoutMs: 400_000})).toString();
  }

  /** Bytes that all agents gave to their nodes. */
  async served(): Promise<number> {
    const all = await this.agents();
    const counts = await Promise.all(all.map(async (one) => await this.metric(one, 'noost_response_bytes_total')));
    return counts.reduce((sum, one) => sum + one, 0);
  }

  async #ready(namespace: string, label: string, count: number): Promise<readonly Pod[]> {
    return await poll(
      `${String(count)} pods of ${label} run`,
      async () => {
        const pods = await this.pods(namespace, label);
        return pods.length === count && pods.every(isReady) && pods;
      },
      POD_MS,
    );
  }

  /** A metric of a node's agent, its labels' values added up. */
  async metric(pod: Pod, name: string, labels = ''): Promise<number> {
    const page = await this.metrics(pod);
    return page
      .split('\n')
      .filter((line) => line.startsWith(`${name}{`) || line.startsWith(`${name} `))
      .filter((line) => line.includes(labels))
      .reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' ') + 1)), 0);
  }

  async metrics({metadata}: Pod): Promise<string> {
    return await this.kubernetes.client.raw(
      `/api/v1/namespaces/${NAMESPACE}/pods/${metadata.name ?? ''}:5057/proxy/metrics`,
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([this.hub, this.quay, this.corp].map((one) => one[Symbol.asyncDispose]()));
    await this.kubernetes[Symbol.asyncDispose]();
    await rm(this.folder, {recursive: true, force: true});
  }
}
