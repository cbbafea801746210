import {createHash} from 'node:crypto';
import {readFile} from 'node:fs/promises';
import {KubeError} from './error.ts';

/** What proves who we are, and who the server is, for one request. */
export interface Access {
  readonly headers: Readonly<Record<string, string>>;
  readonly tls: TlsAccess;
  /** Another one means that connections made before are no longer ours to use. */
  readonly stamp: string;
}

export interface TlsAccess {
  readonly ca?: string | Buffer;
  readonly cert?: string | Buffer;
  readonly key?: string | Buffer;
  readonly servername?: string;
  readonly rejectUnauthorized?: boolean;
}

/** One API server, and how to be somebody there. */
export interface Cluster {
  readonly server: URL;
  /** The namespace of our pod, or that of the kubeconfig's context. */
  readonly namespace: string | undefined;
  /** From the kubeconfig; the environment's proxies are for those that name none and are outside a cluster. */
  readonly proxy: URL | 'environment' | undefined;
  /** @throws {KubeError} `Credentials`, naming what cannot be read or run. */
  access(): Promise<Access>;
  /** The server answered 401: what was remembered is read anew. */
  refused(): void;
}

const SERVICE_ACCOUNT = '/var/run/secrets/kubernetes.io/serviceaccount';
/** Tokens are replaced in their files long before they expire; client-go reads them every minute, too. */
const REREAD_MS = 30_000;

/** A file that somebody replaces now and then: its text, read again when it is old or was refused. */
export class RereadFile {
  readonly #path: string;
  #text: string | undefined;
  #readAt = 0;

  constructor(path: string) {
    this.#path = path;
  }

  /** @throws {KubeError} only if it could never be read: between two versions the old one serves. */
  async read(): Promise<string> {
    if (this.#text !== undefined && performance.now() - this.#readAt < REREAD_MS) return this.#text;
    try {
      this.#text = await readFile(this.#path, 'utf8');
    } catch (error) {
      if (this.#text === undefined)
        throw new KubeError(0, 'Credentials', `Cannot read ${this.#path}: ${(error as Error).message}`, {cause: error});
    }
    this.#readAt = performance.now();
    return this.#text;
  }

  forget(): void {
    this.#readAt = -REREAD_MS;
  }
}

/** Whether the process runs in a pod that has a service account. */
export function isInCluster(env: NodeJS.ProcessEnv): boolean {
  return (env['KUBERNETES_SERVICE_HOST'] ?? '') !== '' && (env['KUBERNETES_SERVICE_PORT'] ?? '') !== '';
}

/**
 * The API server of the cluster that the process runs in, as its service account.
 * @param folder where the kubelet puts the service account's files.
 */
export async function inCluster(env: NodeJS.ProcessEnv, folder = SERVICE_ACCOUNT): Promise<Cluster> {
  const host = env['KUBERNETES_SERVICE_HOST'] ?? '';
  const server = new URL(`https://${host.includes(':') ? `[${host}]` : host}:${env['KUBERNETES_SERVICE_PORT'] ?? ''}`);
  const [token, ca] = [new RereadFile(`${folder}/token`), new RereadFile(`${folder}/ca.crt`)];
  const namespace = await readFile(`${folder}/namespace`, 'utf8').then(
    (text) => text.trim(),
    () => undefined,
  );
  return {
    server,
    namespace,
    proxy: undefined,
    access: async () => {
      const [bearer, authority] = await Promise.all([token.read(), ca.read()]);
      return {headers: {authorization: `Bearer ${bearer.trim()}`}, tls: {ca: authority}, stamp: stampOf(authority)};
    },
    refused: () => {
      token.forget();
      ca.forget();
    },
  };
}

/** @throws {KubeError} if the file cannot be read. */
export async function fileOrData(file: string | undefined, data: string | undefined): Promise<Buffer | undefined> {
  if (data) return Buffer.from(data, 'base64');
  if (!file) return undefined;
  return readFile(file).catch((error: Error) => {
    throw new KubeError(0, 'Credentials', `Cannot read ${file}: ${error.message}`, {cause: error});
  });
}

/** Names what a connection was made with, without telling it. */
export function stampOf(...parts: readonly (string | Buffer | boolean | undefined)[]): string {
  const hash = createHash('sha256');
  for (const part of parts) hash.update(typeof part === 'object' ? part : String(part)).update('\0');
  return hash.digest('base64');
}
