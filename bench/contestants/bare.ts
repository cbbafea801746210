import {writeFile} from 'node:fs/promises';
import {dirname, join} from 'node:path';
import {freePort} from '../../test/free-port.ts';
import {Child} from '../child.ts';
import type {Contestant, Running, Site} from './contestant.ts';
import {settle} from './settle.ts';

const BENCH = dirname(import.meta.dirname);
const LAUNCHER = join(dirname(BENCH), 'noost-node');

/** The limit for small answers: node:http with the same bytes and headers from memory, without log, metrics or any decision. */
export const bare: Contestant = {
  name: 'bare',
  version: async () => `node:http, bench/bare-server.ts`,
  caches: false,
  restarts: true,
  start: (site) => startBare(site, {}),
};

/** @param headers that every answer has, as another contestant gave them. */
export async function startBare(site: Site, headers: Readonly<Record<string, string>>): Promise<Running> {
  const [host, port] = ['127.0.0.1', await freePort()];
  const {repository, manifests} = site.dataset;
  const answers = manifests.map(({reference, file}) => ({
    path: `/v2/${repository}/manifests/${reference}`,
    file: file.path,
    headers: {
      'content-type': file.mediaType,
      'docker-content-digest': file.digest,
      etag: `"${file.digest}"`,
      'docker-distribution-api-version': 'registry/2.0',
      ...headers,
    },
  }));
  const file = join(site.folder, 'answers.json');
  await writeFile(file, JSON.stringify({host, port, answers}));
  const command = [LAUNCHER, join(BENCH, 'bare-server.ts'), file];
  const child = new Child(command, {log: join(site.folder, 'output'), inside: site.inside ?? []});
  return settle(site, child, {host, port, path: (kind, reference) => `/v2/${repository}/${kind}/${reference}`});
}
