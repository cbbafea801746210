import {access} from 'node:fs/promises';
import {homedir} from 'node:os';
import {delimiter, join} from 'node:path';
import {inCluster, isInCluster, type Cluster} from './access.ts';
import {KubeClient, type KubeClientOptions} from './client.ts';
import {KubeError} from './error.ts';

export interface ConnectOptions extends KubeClientOptions {
  /** A kubeconfig file, by flag. */
  readonly kubeconfig?: string | undefined;
  readonly env?: NodeJS.ProcessEnv;
}

/**
 * A client for the cluster that is meant: the file given, else KUBECONFIG, else the cluster that we run in, else
 * ~/.kube/config.
 * @throws {KubeError} `Credentials` if there is none.
 */
export async function connect(options: ConnectOptions = {}): Promise<KubeClient> {
  return new KubeClient(await findCluster(options), options);
}

/** As `connect`, without a client. */
export async function findCluster({kubeconfig, env = process.env}: ConnectOptions): Promise<Cluster> {
  if (kubeconfig !== undefined) return load([kubeconfig]);
  const named = (env['KUBECONFIG'] ?? '').split(delimiter).filter(Boolean);
  const there = await Promise.all(named.map(exists));
  const files = named.filter((_, at) => there[at]); // kubectl passes over those that are not there, too
  if (named.length > 0) return load(files.length > 0 ? files : named);
  if (isInCluster(env)) return inCluster(env);
  const home = join(env['HOME'] ?? homedir(), '.kube', 'config');
  if (await exists(home)) return load([home]);
  throw new KubeError(0, 'Credentials', 'No cluster: give --kubeconfig FILE, set KUBECONFIG, or run in a pod');
}

/** Lazily: in a pod there is no kubeconfig, and no need for what reads one. */
async function load(files: readonly string[]): Promise<Cluster> {
  const {fromKubeconfig} = await import('./kubeconfig.ts');
  return fromKubeconfig(files);
}

function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}
