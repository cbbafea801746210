import {readFile} from 'node:fs/promises';
import {dirname, isAbsolute, join} from 'node:path';
// By deep path: the whole of client-node costs each process 70 MB and the better part of a second (ADR 0009).
import {
  newClusters,
  newContexts,
  newUsers,
  type Cluster as ClusterEntry,
  type Context,
  type User,
} from '@kubernetes/client-node/dist/config_types.js';
import {parse} from 'yaml';
import {fileOrData, stampOf, type Access, type Cluster, type TlsAccess} from './access.ts';
import {KubeError} from './error.ts';
import {newUserAuth, type UserAuth, type UserEntry} from './user-auth.ts';

interface Parts {
  readonly clusters: readonly ClusterEntry[];
  readonly users: readonly UserEntry[];
  readonly contexts: readonly Context[];
  readonly current: string | undefined;
}

/**
 * The cluster that the current context of kubeconfig files names; of entries with one name the first file's counts.
 * @throws {KubeError} `Credentials`, naming the file and what is wrong with it.
 */
export async function fromKubeconfig(paths: readonly string[]): Promise<Cluster> {
  const all = await Promise.all(paths.map(readParts));
  const where = paths.join(', ');
  const current = all.map(({current: name}) => name).find((name) => name !== undefined && name !== '');
  if (current === undefined) throw bad(`${where}: current-context is not set`);
  const context = all.flatMap(({contexts}) => contexts).find(({name}) => name === current);
  if (!context) throw bad(`${where}: there is no context ${current}`);
  const cluster = all.flatMap(({clusters}) => clusters).find(({name}) => name === context.cluster);
  if (!cluster) throw bad(`${where}: there is no cluster ${context.cluster}, which the context ${current} names`);
  const user = all.flatMap(({users}) => users).find(({name}) => name === context.user);
  if (!user && context.user)
    throw bad(`${where}: there is no user ${context.user}, which the context ${current} names`);
  return newCluster(cluster, context, await newUserAuth(user, cluster));
}

function newCluster(cluster: ClusterEntry, context: Context, auth: UserAuth): Cluster {
  if (!URL.canParse(cluster.server))
    throw bad(`clusters[${cluster.name}].cluster.server is not a URL: ${cluster.server}`);
  return {
    server: new URL(cluster.server),
    namespace: context.namespace,
    proxy: proxyOf(cluster),
    access: async () => accessOf(cluster, await auth.get()),
    refused: () => auth.refused(),
  };
}

function proxyOf({name, proxyUrl}: ClusterEntry): URL | 'environment' {
  if (!proxyUrl) return 'environment';
  if (!URL.canParse(proxyUrl)) throw bad(`clusters[${name}].cluster.proxy-url is not a URL`);
  const proxy = new URL(proxyUrl);
  if (!/^https?:$/.test(proxy.protocol))
    throw bad(`clusters[${name}].cluster.proxy-url: ${proxy.protocol} proxies are not supported, http and https are`);
  return proxy;
}

async function accessOf(
  cluster: ClusterEntry,
  user: {headers: Record<string, string>; tls: TlsAccess},
): Promise<Access> {
  const ca = await fileOrData(cluster.caFile, cluster.caData);
  const tls: TlsAccess = {
    ...user.tls,
    ...(ca && {ca}),
    ...(cluster.tlsServerName && {servername: cluster.tlsServerName}),
    ...(cluster.skipTLSVerify && {rejectUnauthorized: false}),
  };
  return {headers: user.headers, tls, stamp: stampOf(ca, tls.cert, tls.key)};
}

async function readParts(path: string): Promise<Parts> {
  const text = await readFile(path, 'utf8').catch((error: Error) => {
    throw bad(`Cannot read the kubeconfig ${path}: ${error.message}`, error);
  });
  try {
    const config = (parse(text) ?? {}) as Record<string, unknown>;
    const base = dirname(path);
    const current = config['current-context'];
    return {
      clusters: newClusters(config['clusters']).map((one) => ({...one, ...absolute(base, {caFile: one.caFile})})),
      users: usersOf(config['users'], base),
      contexts: newContexts(config['contexts']),
      current: typeof current === 'string' ? current : undefined,
    };
  } catch (error) {
    // The parser's own message would quote the line, which may hold a key.
    const why = error instanceof Error && error.name !== 'YAMLParseError' ? error.message : 'not YAML';
    throw bad(`The kubeconfig ${path} cannot be used: ${why}`);
  }
}

/** client-node knows neither `tokenFile` nor `as-groups`. */
function usersOf(list: unknown, base: string): UserEntry[] {
  const raw = (Array.isArray(list) ? list : []) as {name?: unknown; user?: Record<string, unknown> | null}[];
  return newUsers(raw).map((user: User) => {
    const entry = raw.find(({name}) => name === user.name)?.user ?? {};
    const {tokenFile, as} = {
      tokenFile: entry['tokenFile'],
      as: entry['as-groups'] ?? entry['as-uid'] ?? entry['as-user-extra'],
    };
    if (as !== undefined)
      throw new Error(`users[${user.name}].user: only 'as' is supported to act as another, not groups`);
    const files = absolute(base, {
      certFile: user.certFile ?? undefined,
      keyFile: user.keyFile ?? undefined,
      tokenFile: typeof tokenFile === 'string' ? tokenFile : undefined,
    });
    return {...user, ...files};
  });
}

function absolute<K extends string>(base: string, files: Record<K, string | undefined>): Partial<Record<K, string>> {
  const given = Object.entries<string | undefined>(files).filter(([, file]) => file !== undefined && file !== '');
  return Object.fromEntries(
    given.map(([name, file = '']) => [name, isAbsolute(file) ? file : join(base, file)]),
  ) as Partial<Record<K, string>>;
}

function bad(message: string, cause?: unknown): KubeError {
  return new KubeError(0, 'Credentials', message, {cause});
}
