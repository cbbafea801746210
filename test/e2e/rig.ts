import {mkdir, mkdtemp, readFile, rm, writeFile} from 'node:fs/promises';
import {tmpdir} from 'node:os';
import {join, relative} from 'node:path';
import {parse} from 'yaml';
import type {KubeObject} from '../../kube/object.ts';
import {PODS} from '../../kube/resources.ts';
import {DockerRegistry, type RegistryAuth} from '../peers/docker-registry.ts';
import {makeImage, type Image} from '../peers/image.ts';
import {Kubernetes} from '../peers/kubernetes.ts';
import {makeNoostImage} from '../peers/noost-image.ts';
import {busyboxImage} from '../peers/sample-images.ts';
import {Skopeo} from '../peers/skopeo.ts';
import {makeTree} from '../node-tree.ts';

const CHECKOUT = join(import.meta.dirname, '../..');
/** The control plane's address, as the nodes see it: upstream registries listen there. */
const OUTSIDE = '10.77.0.1';
export const NAMESPACE = 'noost-system';
export const LOGIN = {username: 'robot', password: 'correct-horse'} as const;
export const NODES = ['n1', 'n2'] as const;

export interface Pod extends KubeObject {
  readonly spec: {readonly nodeName?: string; readonly containers: readonly {readonly image: string}[]};
  readonly status?: {
    readonly phase?: string;
    readonly conditions?: readonly {readonly type: string; readonly status: string}[];
    readonly containerStatuses?: readonly {
      readonly ready: boolean;
      readonly imageID?: string;
      readonly containerID?: string;
      readonly restartCount: number;
    }[];
  };
}

function inControlPlane({folder}: Kubernetes): readonly string[] {
  return [join(CHECKOUT, 'test/cluster/cluster'), 'on', folder, 'cp'];
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

  static async start(): Promise<ClusterRig> {
    const folder = await mkdtemp(join(tmpdir(), 'noost-e2e-'));
    await mkdir(join(folder, 'image'));
    const [image, kubernetes] = await Promise.all([
      makeNoostImage(join(folder, 'image')),
      Kubernetes.start({nodes: NODES.length}),
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
      await makeTree(rig.certsOf(node), {
        'docker.io/hosts.toml': {file: `# ours\nserver = "${hub.url}"\n`, mode: 0o640},
        'registry.corp/hosts.toml': {file: `server = "${corp.url}"\n`},
        'vault.corp/hosts.toml': {file: `server = "${corp.url}"\n`},
        'broken.corp/hosts.toml': {file: `server = "${hub.url}"`},
      });
      await kubernetes.on(node, ['ctr', '-n', 'k8s.io', 'images', 'import', image.archive]);
    }
    return rig;
  }

  /** The node's folder of hosts.toml files, seen from outside. */
  certsOf(node: string): string {
    return join(this.kubernetes.folder, node, 'etc-containerd/certs.d');
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
  async overlay(base: string, settings: {readonly agent: object; readonly webhook: object}): Promise<string> {
    const folder = join(this.folder, 'overlay');
    await mkdir(folder, {recursive: true});
    for (const [part, more] of Object.entries(settings)) {
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

  async pods(namespace: string, labelSelector?: string): Promise<readonly Pod[]> {
    return (await this.kubernetes.client.list<Pod>(PODS, {namespace, labelSelector})).items;
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
