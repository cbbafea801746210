import {writeFile} from 'node:fs/promises';
import {join} from 'node:path';
import {freePort} from '../../test/free-port.ts';
import {Child} from '../child.ts';
import type {Contestant, Running, Site} from './contestant.ts';
import {settle} from './settle.ts';
import {firstLine} from './versions.ts';

/** Debian's `docker-registry` as pull-through proxy; its access log is off, which is in its favour. */
export const distribution: Contestant = {
  name: 'distribution',
  version: () => firstLine('docker-registry', '--version'),
  caches: true,
  restarts: true,
  start,
};

async function start(site: Site): Promise<Running> {
  const [host, port] = ['127.0.0.1', await freePort()];
  const file = join(site.folder, 'config.json'); // JSON is YAML
  await writeFile(
    file,
    JSON.stringify({
      version: '0.1',
      log: {level: 'warn', accesslog: {disabled: true}},
      storage: {filesystem: {rootdirectory: join(site.folder, 'storage')}, delete: {enabled: true}},
      http: {addr: `${host}:${port}`},
      proxy: {remoteurl: `http://${site.upstream.host}:${site.upstream.port}`},
    }),
  );
  const env = {...process.env, OTEL_TRACES_EXPORTER: 'none'};
  const child = new Child(['docker-registry', 'serve', file], {
    log: join(site.folder, 'output'),
    inside: site.inside ?? [],
    env,
  });
  return settle(site, child, {
    host,
    port,
    path: (kind, reference) => `/v2/${site.dataset.repository}/${kind}/${reference}`,
  });
}
