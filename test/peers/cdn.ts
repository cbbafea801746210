import {mkdir, readFile, writeFile} from 'node:fs/promises';
import {join} from 'node:path';
import {freePort} from '../free-port.ts';
import {Child} from './child.ts';
import {environment} from './environment.ts';

/** A file: nginx cannot open the socket that a child's output is. */
const LOG = 'access.log';

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
  static async start(folder: string, storage: string): Promise<Cdn> {
    const port = await freePort();
    await mkdir(folder, {recursive: true});
    await writeFile(join(folder, 'nginx.conf'), configuration(folder, storage, port));
    const child = new Child('nginx', ['-p', folder, '-c', 'nginx.conf', '-e', 'stderr'], {env: environment(folder)});
    const url = `http://127.0.0.1:${port}`;
    const cdn = new Cdn(url, folder, child);
    await child.untilReady(async () => (await fetch(`${url}/`).catch(() => undefined)) !== undefined);
    return cdn;
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

function configuration(folder: string, storage: string, port: number): string {
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'];
  return `daemon off;
master_process off;
pid ${join(folder, 'nginx.pid')};
events {}
http {
  log_format asked '$request_method $uri authorization=$http_authorization';
  access_log ${join(folder, LOG)} asked;
  ${temporary.map((name) => `${name}_temp_path ${join(folder, name)};`).join(' ')}
  server { listen 127.0.0.1:${port}; root ${storage}; sendfile on; }
}
`;
}
