import {join} from 'node:path';
import type {Child} from '../child.ts';
import {registryLocations, startNginx} from '../nginx.ts';
import {freePort} from '../../test/free-port.ts';
import type {Contestant, Running, Site} from './contestant.ts';
import {settle} from './settle.ts';
import {nginxVersion} from './versions.ts';

/** The limit for sending: files, sendfile(2), nothing to decide. */
export const nginx: Contestant = {
  name: 'nginx',
  version: nginxVersion,
  caches: false,
  restarts: true,
  start: (site) => start(site, {server: registryLocations(site.dataset)}),
};

/** nginx as a cache: one fetch at a time for each blob, the others wait for it. */
export const nginxCache: Contestant = {
  name: 'nginx-cache',
  version: async () => `${await nginxVersion()}, proxy_cache`,
  caches: true,
  restarts: true,
  start: (site) => start(site, cacheConfiguration(site)),
};

function cacheConfiguration({folder, upstream}: Site): {readonly http: string; readonly server: string} {
  const cache = join(folder, 'cache');
  return {
    http: `proxy_cache_path ${cache} levels=1:2 keys_zone=bench:16m max_size=100g inactive=1h use_temp_path=off;
  upstream origin { server ${upstream.host}:${upstream.port}; keepalive 32; }`,
    server: `location / {
    proxy_pass http://origin; proxy_http_version 1.1; proxy_set_header Connection "";
    proxy_cache bench; proxy_cache_key $uri; proxy_cache_valid 200 1h;
    proxy_cache_lock on; proxy_cache_lock_timeout 1h; proxy_cache_lock_age 1h;
  }`,
  };
}

async function start(site: Site, configuration: {readonly http?: string; readonly server: string}): Promise<Running> {
  const [host, port] = ['127.0.0.1', await freePort()];
  const child: Child = await startNginx({folder: site.folder, host, port, inside: site.inside ?? [], ...configuration});
  return settle(site, child, {
    host,
    port,
    path: (kind, reference) => `/v2/${site.dataset.repository}/${kind}/${reference}`,
  });
}
