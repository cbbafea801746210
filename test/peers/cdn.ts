import {mkdir, readFile, writeFile} from 'node:fs/promises';
import {join} from 'node:path';
import {freePort} from '../free-port.ts';
import type {Certificate} from './certificate-authority.ts';
import {Child} from './child.ts';
import {environment} from './environment.ts';

/** A file: nginx cannot open the socket that a child's output is. */
const LOG = 'access.log';
const PID = 'nginx.pid';

export interface CdnOptions {
  /** At most so many bytes a second to each connection. @default as fast as it can */
  readonly bytesPerSecond?: number;
  /** @default no TLS, at 127.0.0.1 */
  readonly tls?: Certificate & {readonly host: string; readonly address: string};
  /** Put before the command, to run it in another namespace: `machine.inside`. */
  readonly inside?: readonly string[];
}

/** A real nginx that serves a registry's storage, as the object store behind a cloud registry does. */
export class Cdn implements AsyncDisposable {
  readonly url: string;
  readonly #folder: string;
  readonly #child: Child;
  private constructor(url: string, folder: string, child: Child) {
    this.url = url;
    this.#folder = folder;
    this.#child = child;
  }

  /** @param storage the folder of `DockerRegistry.storage`; its requests come below `/docker/registry/v2/blobs/…`. */
  static async start(folder: string, storage: string, options: CdnOptions = {}): Promise<Cdn> {
    const port = await freePort();
    await mkdir(folder, {recursive: true});
    await writeFile(join(folder, 'nginx.conf'), configuration(folder, storage, port, options));
    const command = [...(options.inside ?? []), 'nginx', '-p', folder, '-c', 'nginx.conf', '-e', 'stderr'];
    const child = new Child(command[0] ?? '', command.slice(1), {env: environment(folder)});
    // Written once it listens, and seen from any namespace.
    await child.untilReady(async () => (await readFile(join(folder, PID), 'utf8').catch(() => '')) !== '');
    return new Cdn(options.tls ? `https://${options.tls.host}:${port}` : `http://127.0.0.1:${port}`, folder, child);
  }

  /** Requests for blobs so far, each as `GET <path> authorization=-`: the last is what it was sent as Authorization. */
  async requests(): Promise<readonly string[]> {
    const lines = (await readFile(join(this.#folder, LOG), 'utf8')).split('\n');
    return lines.filter((line) => line.includes('/data '));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#child.stop('SIGQUIT');
  }
}

function configuration(folder: string, storage: string, port: number, {tls, bytesPerSecond = 0}: CdnOptions): string {
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'];
  const listen = tls
    ? `listen ${tls.address}:${port} ssl; ssl_certificate ${tls.certFile}; ssl_certificate_key ${tls.keyFile};`
    : `listen 127.0.0.1:${port};`;
  return `daemon off;
master_process off;
pid ${join(folder, PID)};
events {}
http {
  log_format asked '$request_method $uri authorization=$http_authorization';
  access_log ${join(folder, LOG)} asked;
  ${temporary.map((name) => `${name}_temp_path ${join(folder, name)};`).join(' ')}
  server { ${listen} root ${storage}; sendfile on; limit_rate ${bytesPerSecond}; }
}
`;
}
