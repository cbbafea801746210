import type {RequestOptions} from 'node:https';
import type {Cluster as ClusterEntry, User} from '@kubernetes/client-node/dist/config_types.js';
import {fileOrData, RereadFile, type TlsAccess} from './access.ts';
import {KubeError} from './error.ts';

export interface UserEntry extends User {
  readonly tokenFile?: string;
}

/** Who a kubeconfig's user is, for one request. */
export interface UserAuth {
  get(): Promise<{headers: Record<string, string>; tls: TlsAccess}>;
  refused(): void;
}

/** An exec plugin may open a browser; one that hangs is not waited for longer than this. */
const EXEC_MS = 60_000;

/** @throws {KubeError} for ways to be somebody that Kubernetes itself has given up. */
export async function newUserAuth(user: UserEntry | undefined, cluster: ClusterEntry): Promise<UserAuth> {
  const proof = user ? await newProof(user, cluster) : undefined;
  return {
    get: async () => {
      const headers: Record<string, string> = {};
      if (user?.impersonateUser) headers['impersonate-user'] = user.impersonateUser;
      const [cert, key] = await Promise.all([
        fileOrData(user?.certFile, user?.certData),
        fileOrData(user?.keyFile, user?.keyData),
      ]);
      const given = (await proof?.get()) ?? {headers: {}, tls: {}};
      return {headers: {...headers, ...given.headers}, tls: {...(cert && {cert}), ...(key && {key}), ...given.tls}};
    },
    refused: () => proof?.refused(),
  };
}

async function newProof(user: UserEntry, cluster: ClusterEntry): Promise<UserAuth | undefined> {
  if (user.exec) return execAuth(user, cluster);
  if (user.tokenFile) {
    const file = new RereadFile(user.tokenFile);
    return {get: async () => bearer(await file.read()), refused: () => file.forget()};
  }
  if (user.token) return {get: async () => bearer(user.token ?? ''), refused: () => {}};
  if (user.username) {
    const basic = Buffer.from(`${user.username}:${user.password ?? ''}`).toString('base64');
    return {get: async () => ({headers: {authorization: `Basic ${basic}`}, tls: {}}), refused: () => {}};
  }
  const provider = (user.authProvider as {name?: unknown} | null | undefined)?.name;
  if (provider === undefined) return undefined;
  if (provider === 'oidc') return oidcAuth(user);
  throw new KubeError(
    0,
    'Credentials',
    `users[${user.name}].user.auth-provider ${JSON.stringify(provider)} was removed from Kubernetes: use an exec plugin`,
  );
}

function bearer(token: string): {headers: Record<string, string>; tls: TlsAccess} {
  return {headers: {authorization: `Bearer ${token.trim()}`}, tls: {}};
}

/** @see https://kubernetes.io/docs/reference/access-authn-authz/authentication/#client-go-credential-plugins */
async function execAuth(user: UserEntry, cluster: ClusterEntry): Promise<UserAuth> {
  const {ExecAuth} = await import('@kubernetes/client-node/dist/exec_auth.js');
  const exec = user.exec as {apiVersion?: string; env?: object[] | null; provideClusterInfo?: boolean};
  const spec = {interactive: false, ...(exec.provideClusterInfo && {cluster: clusterInfo(cluster)})};
  const asked = JSON.stringify({apiVersion: exec.apiVersion, kind: 'ExecCredential', spec});
  const variables = [...(exec.env ?? []), {name: 'KUBERNETES_EXEC_INFO', value: asked}];
  const caller: User = {...user, exec: {...exec, env: variables}};
  let auth = new ExecAuth();
  let running: Promise<{headers: Record<string, string>; tls: TlsAccess}> | undefined;
  return {
    // One at a time: a plugin that logs in must not do so once for each request that waits for it.
    get: () => (running ??= applied(user.name, auth, caller).finally(() => (running = undefined))),
    refused: () => void (auth = new ExecAuth()), // it keeps a credential until that expires
  };
}

function clusterInfo(cluster: ClusterEntry): object {
  return {
    server: cluster.server,
    'certificate-authority-data': cluster.caData,
    'tls-server-name': cluster.tlsServerName,
    'insecure-skip-tls-verify': cluster.skipTLSVerify,
    'proxy-url': cluster.proxyUrl,
  };
}

async function oidcAuth(user: UserEntry): Promise<UserAuth> {
  const {OpenIDConnectAuth} = await import('@kubernetes/client-node/dist/oidc_auth.js');
  const auth = new OpenIDConnectAuth();
  return {get: () => applied(user.name, auth, user), refused: () => {}};
}

interface Authenticator {
  applyAuthentication(user: User, options: RequestOptions): Promise<void>;
}

async function applied(
  name: string,
  auth: Authenticator,
  user: User,
): Promise<{headers: Record<string, string>; tls: TlsAccess}> {
  const options: RequestOptions = {headers: {}};
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no answer within ${EXEC_MS / 1000} s`)), EXEC_MS);
  });
  try {
    await Promise.race([auth.applyAuthentication(user, options), late]);
  } catch (error) {
    // Not what the plugin wrote: that may be anything.
    const code = (error as NodeJS.ErrnoException).code;
    const why = code === 'ENOENT' ? 'it is not installed' : 'it failed; run it by hand to see why';
    throw new KubeError(0, 'Credentials', `users[${name}]: the credential plugin gave nothing: ${why}`, {cause: error});
  } finally {
    clearTimeout(timer);
  }
  const headers = (options.headers ?? {}) as Record<string, string | undefined>;
  const authorization = headers['Authorization'];
  const {cert, key} = options as {cert?: string; key?: string};
  return {headers: authorization === undefined ? {} : {authorization}, tls: {...(cert && {cert}), ...(key && {key})}};
}
