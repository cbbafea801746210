import {mkdir, writeFile} from 'node:fs/promises';
import {join} from 'node:path';
import {environment} from './environment.ts';
import type {Image} from './image.ts';
import {run} from './run.ts';

export interface SkopeoOptions {
  /** All platforms of an index, not only this machine's. */
  readonly all?: boolean;
  readonly credentials?: {readonly username: string; readonly password: string};
  /** A registries.conf, as CRI-O and podman read it. */
  readonly registries?: string;
}

/** A real skopeo (containers/image) with a HOME of its own and no configuration but what a call gives it. */
export class Skopeo {
  readonly #home: string;
  readonly #inside: readonly string[];
  /** @param inside put before the command, to run it in another namespace */
  constructor(home: string, inside: readonly string[] = []) {
    this.#home = home;
    this.#inside = inside;
  }

  /** Copies `from` to `to`, names as skopeo's, keeping every byte or failing. */
  async copy(from: string, to: string, options: SkopeoOptions = {}): Promise<void> {
    await this.#run(['copy', '--quiet', '--preserve-digests', ...(options.all ? ['--all'] : [])], [from, to], options);
  }

  /** Pushes all of an image to `host:port/repository:tag`. */
  async push(image: Image, reference: string, credentials?: SkopeoOptions['credentials']): Promise<void> {
    await this.copy(`dir:${image.folder}`, `docker://${reference}`, {all: true, ...(credentials ? {credentials} : {})});
  }

  /** The tags that `docker://…` has. */
  async tags(name: string): Promise<readonly string[]> {
    const answer = JSON.parse((await this.#run(['list-tags'], [name], {})).toString()) as {Tags: string[]};
    return answer.Tags;
  }

  async #run(verb: readonly string[], names: readonly string[], options: SkopeoOptions): Promise<Buffer> {
    await mkdir(this.#home, {recursive: true});
    const registries = join(this.#home, 'registries.conf');
    await writeFile(registries, options.registries ?? '');
    const {username, password} = options.credentials ?? {};
    const copying = verb[0] === 'copy';
    const tls = copying ? ['--src-tls-verify=false', '--dest-tls-verify=false'] : ['--tls-verify=false'];
    const login = username === undefined ? [] : [copying ? '--dest-creds' : '--creds', `${username}:${password}`];
    const global = ['--insecure-policy', '--registries-conf', registries, '--override-arch', 'amd64'];
    const env = environment(this.#home, {REGISTRY_AUTH_FILE: join(this.#home, 'auth.json')});
    const [command = '', ...words] = [...this.#inside, 'skopeo', ...global, ...verb, ...tls, ...login, ...names];
    return run(command, words, {env, timeoutMs: 300_000});
  }
}
