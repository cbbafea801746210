import {mkdtemp, readFile, rm, unlink} from 'node:fs/promises';
import {spawnSync} from 'node:child_process';
import {existsSync, readFileSync, rmSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import type {TestContext} from 'node:test';
import {connect} from '../../kube/connect.ts';
import type {KubeClient} from '../../kube/client.ts';
import {isNotFound} from '../../kube/error.ts';
import type {KubeObject} from '../../kube/object.ts';
import {CUSTOM_RESOURCE_DEFINITIONS, NAMESPACES} from '../../kube/resources.ts';
import {needs} from '../needs.ts';
import {poll} from '../poll.ts';
import {run} from './run.ts';

const SCRIPT = join(import.meta.dirname, '..', 'cluster', 'cluster');
const CHECKOUT = join(import.meta.dirname, '..', '..');
/** Where `test/cluster/build` keeps what it made, if nothing else is said. */
const VERSION = process.env['KUBERNETES'] ?? 'v1.34.4';
/** A cold build takes ten minutes on two cores; a warm start ten seconds. */
const UP_MS = 1_200_000;

export interface KubernetesOptions {
  /** Machines with a kubelet and containerd each. @default 0: API server and controllers alone */
  readonly nodes?: number;
  /** `FEATURE_GATES`, `CONTAINERD_BIN`, … (test/cluster/README.md) */
  readonly env?: NodeJS.ProcessEnv;
}

/** Clusters that stand now: they are not to outlive the test process, however it ends. */
const standing = new Set<string>();
process.on('exit', () => {
  for (const folder of standing) {
    spawnSync(SCRIPT, ['down', folder], {timeout: 30_000});
    rmSync(folder, {recursive: true, force: true});
  }
});
// Without a listener a signal would end the process at once, and leave API servers behind.
for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => process.exit(128));

/**
 * Whether a real cluster can be had here: Go (it is built from modules, unless it was already), etcd, openssl and root. What
 * is absent fails the test under CI=true, and skips it aloud elsewhere.
 */
export function needsKubernetes(t: TestContext, {nodes = 0}: KubernetesOptions = {}): boolean {
  const cache =
    process.env['CLUSTER_CACHE'] ?? join(process.env['HOME'] ?? '/root', '.cache', 'kubernetes-from-modules');
  const isBuilt = ['kube-apiserver', 'kube-controller-manager', 'kubectl'].every((name) =>
    existsSync(join(cache, VERSION, name)),
  );
  const forNodes = ['containerd', 'runc', 'iptables', 'conntrack', 'socat', 'umoci', 'skopeo'];
  return needs(
    t,
    'root',
    'etcd',
    'openssl',
    ...(isBuilt ? [] : ['go']),
    ...(nodes > 0 ? ['ip', 'go', ...forNodes] : []),
  );
}

/**
 * A real Kubernetes on this machine (test/cluster). One per test file is enough: start it in the file's first test or in
 * `before`, share it, dispose of it in `after`; a process that ends in another way takes it along, too.
 */
export class Kubernetes implements AsyncDisposable {
  readonly folder: string;
  readonly kubeconfig: string;
  /** With the rights of `system:masters`. */
  readonly client: KubeClient;

  private constructor(folder: string, client: KubeClient) {
    this.folder = folder;
    this.kubeconfig = join(folder, 'admin.kubeconfig');
    this.client = client;
  }

  /** @throws {Error} with the end of the logs if it does not come up. */
  static async start({nodes = 0, env = {}}: KubernetesOptions = {}): Promise<Kubernetes> {
    const folder = await mkdtemp(join(tmpdir(), 'noost-k8s-'));
    standing.add(folder);
    try {
      const args = ['up', folder, ...(nodes > 0 ? ['--nodes', String(nodes)] : [])];
      await run(SCRIPT, args, {env: {...process.env, ...env}, timeoutMs: UP_MS});
      const client = await connect({kubeconfig: join(folder, 'admin.kubeconfig'), env: {}, userAgent: 'noost-test'});
      return new Kubernetes(folder, client);
    } catch (error) {
      const log = await readFile(join(folder, 'log', 'apiserver.log'), 'utf8').catch(() => '');
      await down(folder);
      throw new Error(`${(error as Error).message}\n${log.slice(-4000)}`, {cause: error});
    }
  }

  /** `kubectl ARGS`, with the admin's rights. @returns its standard output. @throws {Error} with its standard error. */
  async kubectl(args: readonly string[], input?: string): Promise<string> {
    const options = {...(input !== undefined && {input}), env: {...process.env, KUBECONFIG: this.kubeconfig}};
    return (await run(SCRIPT, ['kubectl', this.folder, ...args], options)).toString();
  }

  /** A command inside a node (`n1`, …) or the control plane's namespace (`cp`). */
  async on(node: string, command: readonly string[], input?: string): Promise<string> {
    const options = input === undefined ? {} : {input};
    return (await run(SCRIPT, ['on', this.folder, node, ...command], options)).toString();
  }

  /** Applies files or folders of the checkout, and waits until CRDs among them are served. */
  async apply(...paths: readonly string[]): Promise<void> {
    for (const path of paths) {
      const how = existsSync(join(CHECKOUT, path, 'kustomization.yaml')) ? '-k' : '-f';
      await this.kubectl(['apply', '--server-side', how, join(CHECKOUT, path)]);
    }
    await poll('custom resources are served', async () => {
      const {items} = await this.client.list<KubeObject & {status?: {conditions?: {type: string; status: string}[]}}>(
        CUSTOM_RESOURCE_DEFINITIONS,
      );
      return items.every(({status}) =>
        status?.conditions?.some(({type, status: is}) => type === 'Established' && is === 'True'),
      );
    });
  }

  /** A namespace of its own for a test, with its default service account. */
  async namespace(name: string, labels: Readonly<Record<string, string>> = {}): Promise<string> {
    await this.client.create(NAMESPACES, {}, {metadata: {name, labels}});
    await poll(`the default service account of ${name}`, () =>
      this.client.raw(`/api/v1/namespaces/${name}/serviceaccounts/default`).catch((error: unknown) => {
        if (isNotFound(error)) return undefined;
        throw error;
      }),
    );
    return name;
  }

  /** Ends a program of the control plane (`apiserver`, `etcd`, `controller-manager`) at once. */
  async kill(program: string): Promise<void> {
    const file = join(this.folder, 'pid', program);
    const pid = Number(await readFile(file, 'utf8'));
    process.kill(-pid, 'SIGKILL');
    await unlink(file);
    await poll(`${program} is gone`, () => !existsSync(`/proc/${pid}`) || isZombie(pid));
  }

  /** Starts again what was killed, as it was started before, and waits until the API server answers. */
  async restart(program: string): Promise<void> {
    await run(SCRIPT, ['restart', this.folder, program], {timeoutMs: 90_000});
    await poll('the API server is ready', () => this.client.raw('/readyz', {deadlineMs: 2000}), 60_000);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.client[Symbol.dispose]();
    await down(this.folder);
  }
}

function isZombie(pid: number): boolean {
  try {
    return / Z /.test(readFileSync(`/proc/${pid}/stat`, 'utf8'));
  } catch {
    return true;
  }
}

async function down(folder: string): Promise<void> {
  await run(SCRIPT, ['down', folder], {timeoutMs: 60_000});
  standing.delete(folder);
  await rm(folder, {recursive: true, force: true});
}
