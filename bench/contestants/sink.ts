import {join} from 'node:path';
import {freePort} from '../../test/free-port.ts';
import {Child} from '../child.ts';
import type {Contestant, Running, Site} from './contestant.ts';
import {settle} from './settle.ts';

/** What the load generator can take: a thread a client and blocking sendfile(2) of one file, whatever is asked. */
export const sink: Contestant = {
  name: 'sink',
  version: async () => 'bench/load/sink.c',
  caches: false,
  restarts: true,
  start,
};

async function start(site: Site): Promise<Running> {
  const [host, port] = ['127.0.0.1', await freePort()];
  const command = [site.generator.sink, String(port), site.dataset.large.path];
  const child = new Child(command, {log: join(site.folder, 'output'), inside: site.inside ?? []});
  return settle(site, child, {host, port, path: (kind, reference) => `/${kind}/${reference}`});
}
