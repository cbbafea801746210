import {writeFile} from 'node:fs/promises';
import {dirname, join, resolve} from 'node:path';
import {freePort} from '../../test/free-port.ts';
import {Child} from '../child.ts';
import type {Contestant, Running, Site} from './contestant.ts';
import {settle} from './settle.ts';
import {firstLine} from './versions.ts';

const CHECKOUT = dirname(dirname(import.meta.dirname));
const PROGRAM = join(CHECKOUT, 'noost');
/** As clients name the upstream. */
export const UPSTREAM_HOST = 'bench.example';

/** The agent as it is started everywhere, through its launcher; log and metrics are on. */
export const noost: Contestant = newNoost('noost', PROGRAM);

/** The agent of another checkout, with what it depends on installed: what a change bought is seen beside it. */
export function newCheckout(name: string, folder: string): Contestant {
  return newNoost(name, resolve(folder, 'noost'));
}

function newNoost(name: string, program: string): Contestant {
  return {
    name,
    version: async () => `noost ${await firstLine(program, '--version')}`,
    caches: true,
    restarts: true,
    start: (site) => startNoost(site, program),
  };
}

/** Flags for the Node process, for profiling: `NOOST_BENCH_NODE_OPTIONS='--cpu-prof'`. */
const NODE_OPTIONS = process.env['NOOST_BENCH_NODE_OPTIONS'];

async function startNoost(site: Site, program: string): Promise<Running> {
  const [host, port, adminPort] = ['127.0.0.1', await freePort(), await freePort()];
  const file = join(site.folder, 'noost.json'); // JSON is YAML
  await writeFile(
    file,
    JSON.stringify({
      listeners: [{address: `${host}:${port}`, door: 'runtime', anyLocalProcess: true}],
      adminListen: `${host}:${adminPort}`,
      data: join(site.folder, 'data'),
      // The watermark is for nodes; a machine that measures may be fuller.
      cache: {maxSize: site.cacheBytes ?? '100GiB', minFreeDisk: '1%'},
      upstreams: [{host: UPSTREAM_HOST, url: `http://${site.upstream.host}:${site.upstream.port}`}],
    }),
  );
  const env = NODE_OPTIONS === undefined ? process.env : {...process.env, NODE_OPTIONS};
  const log = join(site.folder, 'output');
  const child = new Child([program, 'agent', '--config', file], {
    log,
    inside: site.inside ?? [],
    env,
    cwd: site.folder,
  });
  return settle(site, child, {
    host,
    port,
    path: (kind, reference) => `/v2/${site.dataset.repository}/${kind}/${reference}?ns=${UPSTREAM_HOST}`,
    adminUrl: `http://${host}:${adminPort}`,
  });
}
