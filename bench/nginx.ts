import {mkdir, writeFile} from 'node:fs/promises';
import {join} from 'node:path';
import {Child} from './child.ts';
import type {Dataset} from './dataset.ts';

export interface NginxOptions {
  /** Configuration, logs and temporary files. */
  readonly folder: string;
  readonly host: string;
  readonly port: number;
  /** What stands in `http { … }` beside our own. */
  readonly http?: string;
  /** What stands in `server { … }`. */
  readonly server: string;
  /** @default off */
  readonly accessLog?: string;
  readonly inside?: readonly string[];
}

/** Starts nginx as its handbook tunes it for large files: a worker a core, sendfile, open file cache. */
export async function startNginx(options: NginxOptions): Promise<Child> {
  await mkdir(options.folder, {recursive: true});
  const file = join(options.folder, 'nginx.conf');
  await writeFile(file, configuration(options));
  const log = join(options.folder, 'output');
  return new Child(['nginx', '-c', file, '-p', options.folder], {log, inside: options.inside ?? []});
}

function configuration({folder, host, port, http = '', server, accessLog = 'off'}: NginxOptions): string {
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(
    (name) => `${name}_temp_path ${join(folder, name)};`,
  );
  const user = process.getuid?.() === 0 ? 'user root;' : '';
  return `
daemon off; ${user} worker_processes auto; worker_rlimit_nofile 65536;
pid ${join(folder, 'pid')}; error_log ${join(folder, 'error.log')} warn;
events { worker_connections 8192; }
http {
  types {} default_type application/octet-stream;
  sendfile on; tcp_nopush on; tcp_nodelay on; server_tokens off;
  keepalive_requests 1000000000; keepalive_timeout 1h;
  open_file_cache max=4096 inactive=1h;
  ${temporary.join('\n  ')}
  log_format sent escape=json '{"method":"$request_method","uri":"$uri","status":$status,"bytes":$body_bytes_sent}';
  access_log ${accessLog};
  ${http}
  server { listen ${host}:${port} backlog=4096; ${server} }
}
`;
}

/** The registry's paths, answered from files with the headers of a registry. A query (`ns`) is ignored. */
export function registryLocations({repository, blobs, manifests}: Dataset): string {
  const location = (path: string, file: string, type: string, digest: string): string =>
    `location = ${path} { alias ${file}; default_type ${type}; add_header Docker-Content-Digest ${digest}; }`;
  return [
    `location = /v2/ { default_type application/json; add_header Docker-Distribution-API-Version registry/2.0; return 200 '{}'; }`,
    ...blobs.map(({digest, path}) =>
      location(`/v2/${repository}/blobs/${digest}`, path, 'application/octet-stream', digest),
    ),
    ...manifests.map(({reference, file}) =>
      location(`/v2/${repository}/manifests/${reference}`, file.path, file.mediaType, file.digest),
    ),
  ].join('\n  ');
}
