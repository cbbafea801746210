import {createHash} from 'node:crypto';
import {LRUCache} from 'lru-cache';
import {identityOf, type Credential, type CredentialSource} from '../../oci/credentials.ts';
import {DockerConfig, type Login} from '../../oci/docker-config.ts';
import type {RepositoryName, Upstream} from '../../oci/source.ts';
import type {Rights} from './resolver.ts';

/** As kubelets do, a secret that was changed is seen within this time. */
const SECRET_MS = 30_000;
const MAX_SECRETS = 1_000;
/** A pod with more is somebody's attempt to make us read many. */
const MAX_OF_POD = 8;
/** Connections and tokens of so many sets of logins are kept. */
const MAX_CLIENTS = 32;
const MAX_BYTES = 1024 * 1024;

/** A Secret's `.dockerconfigjson` or `.dockercfg` as text. */
export type ReadPullSecret = (namespace: string, name: string, signal: AbortSignal) => Promise<string | undefined>;

/** A client of every registry that has its logins from `credentials`. */
export interface ClientOf {
  for(name: RepositoryName): Upstream;
  close(): Promise<void>;
}

export interface PullSecretsOptions {
  readonly read: ReadPullSecret;
  readonly newClient: (credentials: CredentialSource) => ClientOf;
  /** A secret could not be read or is none: the pod's image is resolved without it. */
  readonly failed: (namespace: string, name: string, message: string) => void;
}

/** Rights of pods: what their pull secrets open (policy-peers §4: credentials are chosen by host). */
export class PullSecrets {
  readonly #options: PullSecretsOptions;
  /** `namespace/name` → its logins, or nothing. */
  readonly #configs = new LRUCache<string, Promise<DockerConfig | undefined>>({max: MAX_SECRETS, ttl: SECRET_MS});
  readonly #clients = new LRUCache<string, Rights & {readonly client: ClientOf}>({
    max: MAX_CLIENTS,
    dispose: ({client}) => void client.close(),
  });

  constructor(options: PullSecretsOptions) {
    this.#options = options;
  }

  /** @returns `undefined` if none of the pod's secrets has a login for the image: then the webhook's own rights serve. */
  async rightsFor(
    name: RepositoryName,
    pod: {readonly namespace: string; readonly secrets: readonly string[]},
    signal: AbortSignal,
  ): Promise<Rights | undefined> {
    const {namespace, secrets} = pod;
    for (const secret of secrets.slice(0, MAX_OF_POD)) {
      const config = await this.#config(namespace, secret, signal);
      const login = config?.find(name);
      if (login !== undefined) return this.#rights(namespace, name, login);
    }
    return undefined;
  }

  close(): void {
    this.#clients.clear();
  }

  /** One set for each login in each namespace: what one namespace's secret showed is not shown to another. */
  #rights(namespace: string, {registry}: RepositoryName, login: Login): Rights {
    const credential = {...login, identity: identityOf(login)};
    const key = createHash('sha256').update(`${namespace}\n${registry}\n${credential.identity}`).digest('base64url');
    const held = this.#clients.get(key);
    if (held !== undefined) return held;
    const client = this.#options.newClient(only(registry, credential));
    const rights = {key, client, upstream: (name: RepositoryName) => client.for(name)};
    this.#clients.set(key, rights);
    return rights;
  }

  #config(namespace: string, name: string, signal: AbortSignal): Promise<DockerConfig | undefined> {
    const key = `${namespace}/${name}`;
    const held = this.#configs.get(key);
    if (held !== undefined) return held;
    const read = this.#read(namespace, name, signal);
    this.#configs.set(key, read);
    return read;
  }

  async #read(namespace: string, name: string, signal: AbortSignal): Promise<DockerConfig | undefined> {
    try {
      const text = await this.#options.read(namespace, name, signal);
      if (text === undefined) return undefined;
      if (text.length > MAX_BYTES) throw new SyntaxError('larger than 1 MiB');
      return new DockerConfig(text);
    } catch (error) {
      // Its text never holds the secret's; an error of the API is not remembered.
      this.#configs.delete(`${namespace}/${name}`);
      this.#options.failed(namespace, name, (error as Error).message);
      return undefined;
    }
  }
}

/** Sent to the one registry whose key it was found by, and to nobody else. */
function only(registry: string, credential: Credential): CredentialSource {
  return {
    realms: [],
    get: (name) => Promise.resolve(name.registry === registry ? credential : undefined),
    expire: () => undefined,
  };
}
