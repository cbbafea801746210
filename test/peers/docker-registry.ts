import {mkdir, writeFile} from 'node:fs/promises';
import {join} from 'node:path';
import {setTimeout as delay} from 'node:timers/promises';
import {freePort} from '../free-port.ts';
import type {Certificate} from './certificate-authority.ts';
import {Child} from './child.ts';
import {environment} from './environment.ts';
import {run} from './run.ts';

export type RegistryAuth =
  | {readonly kind: 'none'}
  | {readonly kind: 'basic'; readonly username: string; readonly password: string}
  | {readonly kind: 'token'; readonly realm: string; readonly service: string; readonly trusted: Certificate};

export interface DockerRegistryOptions {
  /** Configuration and storage; two registries may share `storage` but not `folder`. */
  readonly folder: string;
  /** @default `folder`/storage */
  readonly storage?: string;
  /** @default none */
  readonly auth?: RegistryAuth;
  readonly tls?: Certificate;
  /** @default 127.0.0.1 */
  readonly host?: string;
  /** @default a free one */
  readonly port?: number;
  /** Blobs are answered by a redirect to below this URL, as cloud registries do. */
  readonly redirect?: string;
  /** Put before the command, to run it in another namespace: `nsenter …`. */
  readonly inside?: readonly string[];
}

/** Apache's combined format, in which it logs. */
const ACCESS = /"(\S+ (\S+)) HTTP\/[\d.]+" (\d{3}) \S+ "[^"]*" "([^"]*)"/;

export interface AccessEntry {
  /** As `GET /v2/a/manifests/b`. */
  readonly request: string;
  readonly status: number;
  readonly userAgent: string;
}

/** A real `docker-registry` (distribution 2.8). Its own access log says what it was asked. */
export class DockerRegistry implements AsyncDisposable {
  readonly host: string;
  readonly port: number;
  readonly #options: DockerRegistryOptions;
  #child: Child;
  #asked = 0;

  private constructor(options: DockerRegistryOptions, port: number, child: Child) {
    this.#options = options;
    this.host = options.host ?? '127.0.0.1';
    this.port = port;
    this.#child = child;
  }

  static async start(options: DockerRegistryOptions): Promise<DockerRegistry> {
    const port = options.port ?? (await freePort());
    await mkdir(options.folder, {recursive: true});
    await writeFile(join(options.folder, 'config.json'), JSON.stringify(await configuration(options, port)));
    const registry = new DockerRegistry(options, port, launch(options));
    await registry.#untilReady();
    return registry;
  }

  /** `host:port` */
  get address(): string {
    return `${this.host}:${this.port}`;
  }

  get url(): string {
    return `${this.#options.tls ? 'https' : 'http'}://${this.address}`;
  }

  /** The folder that holds what was pushed; a CDN serves from it. */
  get storage(): string {
    return storageOf(this.#options);
  }

  /**
   * What it was asked since the last call, in the order in which it was answered. `/v2/` itself is left out: clients
   * differ in how often they ping.
   */
  async takeEntries(): Promise<readonly AccessEntry[]> {
    // A line is written once its answer is complete, which the client may know a moment before the log does.
    await delay(100);
    const lines = this.#child.lines.slice(this.#asked);
    this.#asked = this.#child.lines.length;
    return lines.flatMap((line) => {
      const [, request = '', path, status = '', userAgent = ''] = ACCESS.exec(line) ?? [];
      return path === undefined || path === '/v2/' ? [] : [{request, status: Number(status), userAgent}];
    });
  }

  /** As `takeEntries`, each as `GET /v2/a/manifests/b`. */
  async takeRequests(): Promise<readonly string[]> {
    return (await this.takeEntries()).map(({request}) => request);
  }

  /** Gone: connections are refused. What was pushed stays. */
  async stop(): Promise<void> {
    await this.#child.stop('SIGKILL');
  }

  /** After `stop`, at the same address with the same content. */
  async restart(): Promise<void> {
    await this.stop();
    this.#child = launch(this.#options);
    this.#asked = 0;
    await this.#untilReady();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  async #untilReady(): Promise<void> {
    const said = (line: string): boolean => line.includes('listening on');
    await this.#child.untilReady(() => this.#child.lines.some(said));
  }
}

function storageOf(options: DockerRegistryOptions): string {
  return options.storage ?? join(options.folder, 'storage');
}

function launch(options: DockerRegistryOptions): Child {
  const command = [...(options.inside ?? []), 'docker-registry', 'serve', join(options.folder, 'config.json')];
  return new Child(command[0] ?? '', command.slice(1), {env: environment(options.folder)});
}

/** JSON is YAML. @see https://github.com/distribution/distribution/blob/v2.8.2/docs/configuration.md */
async function configuration(options: DockerRegistryOptions, port: number): Promise<object> {
  const {tls, redirect, host = '127.0.0.1'} = options;
  return {
    version: '0.1',
    log: {level: 'info', formatter: 'text'},
    storage: {
      filesystem: {rootdirectory: storageOf(options), maxthreads: 100},
      delete: {enabled: true},
      maintenance: {uploadpurging: {enabled: false}},
    },
    http: {
      addr: `${host}:${port}`,
      secret: 'of one test',
      ...(tls ? {tls: {certificate: tls.certFile, key: tls.keyFile}} : {}),
    },
    ...(redirect === undefined ? {} : {middleware: {storage: [{name: 'redirect', options: {baseurl: redirect}}]}}),
    ...(await authentication(options)),
  };
}

async function authentication({auth = {kind: 'none'}, folder}: DockerRegistryOptions): Promise<object> {
  switch (auth.kind) {
    case 'none':
      return {};
    case 'basic': {
      const path = join(folder, 'htpasswd');
      // The lowest cost of bcrypt: every request pays it.
      await writeFile(path, await run('htpasswd', ['-inBC', '4', auth.username], {input: auth.password}));
      return {auth: {htpasswd: {realm: 'test', path}}};
    }
    case 'token': {
      const {realm, service, trusted} = auth;
      return {auth: {token: {realm, service, issuer: 'noost-test', rootcertbundle: trusted.certFile}}};
    }
  }
}
