import {createHash} from 'node:crypto';
import {readFile, stat} from 'node:fs/promises';
import {askCredentialHelper} from './credential-helper.ts';
import {DockerConfig, type Login} from './docker-config.ts';
import {DOCKER_HUB} from './reference.ts';
import type {RepositoryName} from './source.ts';
import type {CredentialSettings} from './upstream-settings.ts';

/** A login and a name for it that says nothing of it, for cache keys: it changes when the login does (P-20, C-025). */
export interface Credential extends Login {
  readonly identity: string;
}

/** Files are looked at again after this long, helpers asked again; at once after a refusal. */
const FILE_MS = 1000;
const HELPER_MS = 600_000;
const MAX_FILE = 1024 * 1024;
const MAX_LOGINS = 64;

/** Where an upstream's credentials come from. */
export interface CredentialSource {
  /** Hosts in other domains that may be sent them for a token. */
  readonly realms: readonly string[];
  /**
   * The login for a repository, or `undefined` if there is none or it cannot be read (which is reported).
   * @param keyedOnly the host was not configured: only what is keyed by host is for it (design §4.1).
   */
  get(name: RepositoryName, keyedOnly: boolean): Promise<Credential | undefined>;
  /** The registry refused what it was sent: the next `get` looks again, though a helper at most once in a while. */
  expire(): void;
}

/** Logins that somebody else keeps current, all of them keyed by host. */
export class KeyedLogins implements CredentialSource {
  readonly realms = [];
  readonly #find: (name: RepositoryName) => Login | undefined;
  constructor(find: (name: RepositoryName) => Login | undefined) {
    this.#find = find;
  }

  get(name: RepositoryName): Promise<Credential | undefined> {
    const login = this.#find(name);
    return Promise.resolve(login && {...login, identity: identityOf(login)});
  }

  expire(): void {
    // They are as current as they can be.
  }
}

/** An upstream's credentials by its settings, as they are now. */
export class Credentials implements CredentialSource {
  readonly #settings: CredentialSettings;
  readonly #now: () => number;
  readonly #failed: (message: string) => void;
  readonly #logins = new Map<string, {readonly login: Promise<Login | undefined>; readonly at: number}>();
  #file: {readonly stamp: string; readonly find: (name: RepositoryName) => Login | undefined} | undefined;
  #checkAt = -Infinity;
  #reading: Promise<void> | undefined;

  constructor(settings: CredentialSettings, options: {now: () => number; failed: (message: string) => void}) {
    this.#settings = settings;
    this.#now = options.now;
    this.#failed = options.failed;
  }

  get realms(): readonly string[] {
    return this.#settings.realms;
  }

  async get(name: RepositoryName, keyedOnly: boolean): Promise<Credential | undefined> {
    const {credentialHelper, dockerConfigFile} = this.#settings;
    if (keyedOnly && credentialHelper === undefined && dockerConfigFile === undefined) return undefined;
    const login =
      credentialHelper === undefined
        ? await this.#fromFile(name)
        : await this.#fromHelper(credentialHelper, name.registry);
    return login && {...login, identity: identityOf(login)};
  }

  expire(): void {
    this.#checkAt = -Infinity;
    for (const [registry, {at}] of this.#logins) if (this.#now() - at > FILE_MS) this.#logins.delete(registry);
  }

  async #fromFile(name: RepositoryName): Promise<Login | undefined> {
    if (this.#now() >= this.#checkAt) {
      this.#reading ??= this.#read().finally(() => (this.#reading = undefined));
      await this.#reading;
    }
    return this.#file?.find(name);
  }

  /** Follows symlinks, so a swapped `..data` of a mounted Secret is seen (C-025). A broken file keeps the last good one. */
  async #read(): Promise<void> {
    const path = this.#settings.dockerConfigFile ?? this.#settings.passwordFile ?? '';
    try {
      const {ino, mtimeMs, size} = await stat(path);
      const stamp = `${ino}:${mtimeMs}:${size}`;
      if (size > MAX_FILE) throw new Error('too large');
      if (stamp !== this.#file?.stamp) this.#file = {stamp, find: this.#parse(await readFile(path, 'utf8'))};
    } catch (error) {
      if (isMissing(error)) this.#file = undefined;
      this.#failed(error instanceof SyntaxError ? error.message : `Credentials cannot be read: ${codeOf(error)}`);
    }
    this.#checkAt = this.#now() + FILE_MS;
  }

  #parse(text: string): (name: RepositoryName) => Login | undefined {
    if (this.#settings.dockerConfigFile !== undefined) {
      const config = new DockerConfig(text);
      return (name) => config.find(name);
    }
    const password = text.replace(/\r?\n$/, ''); // an editor's; a password may end in other blanks
    const username = this.#settings.username ?? '';
    return () => ({username, password, identityToken: undefined, registryToken: undefined});
  }

  /** One question at a time for each registry. */
  #fromHelper(helper: string, registry: string): Promise<Login | undefined> {
    const held = this.#logins.get(registry);
    if (held && this.#now() - held.at < HELPER_MS) return held.login;
    const server = registry === DOCKER_HUB ? 'https://index.docker.io/v1/' : registry;
    const login = askCredentialHelper(helper, server).catch((error: Error) => {
      this.#failed(error.message);
      this.#logins.delete(registry);
      return undefined;
    });
    if (this.#logins.size >= MAX_LOGINS) this.#logins.clear();
    this.#logins.set(registry, {login, at: this.#now()});
    return login;
  }
}

/** A name for the login that says nothing of it. */
export function identityOf(login: Login): string {
  return createHash('sha256').update(JSON.stringify(login)).digest('base64url').slice(0, 22);
}

function isMissing(error: unknown): boolean {
  return codeOf(error) === 'ENOENT';
}

function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : 'unknown';
}
