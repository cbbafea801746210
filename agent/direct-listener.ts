import {readFile} from 'node:fs/promises';
import {createSecureContext, type Server as TlsServer} from 'node:tls';
import {listen, type Listening} from '../proc/listen.ts';
import type {Log} from '../proc/log.ts';
import type {DirectAccess} from './access/direct.ts';
import {parseHtpasswd, type Users} from './access/htpasswd.ts';
import {Passwords} from './access/passwords.ts';
import type {Tokens} from './access/tokens.ts';
import {watchFiles, type WatchedFiles} from './access/watched.ts';
import type {ListenerConfig} from './config/shape.ts';
import {newDirectDoor, type DirectParts} from './http/direct.ts';
import {newPushServer, type KeyPair} from './http/server.ts';
import type {Metrics} from './metrics.ts';

/** A secret of Kubernetes is 1 MiB at most. */
const MAX_FILE = 4 << 20;

/** Tells what becomes of the files that listeners read again by themselves. */
interface FileEvents {
  readonly log: Log;
  readonly metrics: Metrics;
}

/** A direct listener with its users and its certificate, which follow their files. */
export class DirectListener {
  readonly listening: Listening;
  readonly #passwords: Passwords;
  readonly #files: WatchedFiles[] = [];
  readonly #server: TlsServer | undefined;
  readonly #events: FileEvents;
  #config: ListenerConfig;

  private constructor(opened: {
    listening: Listening;
    passwords: Passwords;
    server: TlsServer | undefined;
    events: FileEvents;
    config: ListenerConfig;
  }) {
    this.listening = opened.listening;
    this.#passwords = opened.passwords;
    this.#server = opened.server;
    this.#events = opened.events;
    this.#config = opened.config;
    this.#watch();
  }

  /** @throws {Error} where a file cannot be used, or the address is taken. */
  static async open(
    parts: Omit<DirectParts, 'access'>,
    tokens: Tokens,
    config: ListenerConfig,
  ): Promise<DirectListener> {
    const passwords = new Passwords(await readUsers(config));
    const keyPair = config.tls === undefined ? undefined : await readKeyPair(config.tls);
    let current = (): ListenerConfig => config;
    const access = (): DirectAccess => ({passwords, tokens, anonymous: current().users.anonymous});
    const server = newPushServer(newDirectDoor({...parts, access}), keyPair);
    const listening = await listen(server, config);
    const events = {log: parts.log, metrics: parts.metrics};
    const secured = 'setSecureContext' in server ? server : undefined;
    const opened = new DirectListener({listening, passwords, server: secured, events, config});
    current = () => opened.#config;
    return opened;
  }

  /**
   * Takes the settings that can change while it listens, before it returns. Resolves when their files have been read; one
   * that is bad keeps what was read before.
   */
  async reload(config: ListenerConfig): Promise<void> {
    this.#config = config;
    await this.#unwatch();
    this.#watch();
    await Promise.all(this.#files.map((file) => file.look()));
  }

  async close(): Promise<void> {
    await this.#unwatch();
    await this.#passwords.close();
  }

  async #unwatch(): Promise<void> {
    await Promise.all(this.#files.splice(0).map((file) => file[Symbol.asyncDispose]()));
  }

  #watch(): void {
    const {tls, users} = this.#config;
    if (users.htpasswdFile === undefined) this.#passwords.replace(new Map());
    else
      this.#watchOne('users', [users.htpasswdFile], async () => {
        this.#passwords.replace(await readUsers(this.#config));
      });
    const server = this.#server;
    if (tls === undefined || server === undefined) return;
    this.#watchOne('tls', [tls.certFile, tls.keyFile], async () => {
      server.setSecureContext({...(await readKeyPair(tls)), minVersion: 'TLSv1.2'});
    });
  }

  #watchOne(kind: 'users' | 'tls', files: readonly string[], use: () => Promise<void>): void {
    const {log, metrics} = this.#events;
    const what = kind === 'users' ? 'the file of users' : 'the certificate or its key';
    metrics.filesOk.set({kind}, 1);
    const changed = (): void => {
      metrics.filesOk.set({kind}, 1);
      log.info(`${what} changed: the new one is in use`, {files: files.join(', ')});
    };
    const failed = (error: Error): void => {
      metrics.filesOk.set({kind}, 0);
      log.error(`${what} cannot be used: the old one stays`, {files: files.join(', '), error: error.message});
    };
    this.#files.push(watchFiles(files, use, {changed, failed}));
  }
}

/** @throws {SyntaxError} that names the line. @throws {Error} of `node:fs`. */
async function readUsers({users}: ListenerConfig): Promise<Users> {
  return users.htpasswdFile === undefined ? new Map() : parseHtpasswd(await readBounded(users.htpasswdFile));
}

/** @throws {Error} unless the certificate and the key are a pair. */
async function readKeyPair({certFile, keyFile}: NonNullable<ListenerConfig['tls']>): Promise<KeyPair> {
  const [cert, key] = await Promise.all([readBounded(certFile), readBounded(keyFile)]);
  createSecureContext({cert, key});
  return {cert, key};
}

async function readBounded(file: string): Promise<string> {
  const text = await readFile(file, 'utf8');
  if (text.length > MAX_FILE) throw new Error(`${file} is larger than 4 MiB`);
  return text;
}
