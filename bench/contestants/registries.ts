import {writeFile} from 'node:fs/promises';
import {dirname, join} from 'node:path';
import {hashSync} from 'bcryptjs';
import {freePort} from '../../test/free-port.ts';
import {Child} from '../child.ts';
import type {Running, Site} from './contestant.ts';
import {settle} from './settle.ts';

const PROGRAM = join(dirname(dirname(import.meta.dirname)), 'noost');
const HOST = '127.0.0.1';
const [USER, PASSWORD] = ['bench', 'bench'];
const AUTHORIZATION = `Basic ${Buffer.from(`${USER}:${PASSWORD}`).toString('base64')}`;

/** Registries that take pushes, each with an empty folder. Noost asks who pushes, as it always does. */
export const REGISTRIES: ReadonlyMap<string, (site: Site) => Promise<Running>> = new Map([
  ['noost', startNoost],
  ['distribution', startDistribution],
]);

async function startNoost(site: Site): Promise<Running> {
  const [port, adminPort] = [await freePort(), await freePort()];
  const [file, users] = [join(site.folder, 'noost.json'), join(site.folder, 'users')];
  await writeFile(users, `${USER}:${hashSync(PASSWORD, 4)}\n`);
  await writeFile(
    file,
    JSON.stringify({
      listeners: [{address: `${HOST}:${port}`, door: 'direct', users: {htpasswdFile: users}}],
      adminListen: `${HOST}:${adminPort}`,
      data: join(site.folder, 'data'),
      cache: {minFreeDisk: '1%'},
    }),
  );
  const log = join(site.folder, 'output');
  const child = new Child([PROGRAM, 'agent', '--config', file], {log, inside: [], env: process.env, cwd: site.folder});
  return settled(site, child, port, {authorization: AUTHORIZATION});
}

/** Debian's `docker-registry`, which asks nobody; its access log is off, which is in its favour. */
async function startDistribution(site: Site): Promise<Running> {
  const port = await freePort();
  const file = join(site.folder, 'config.json');
  await writeFile(
    file,
    JSON.stringify({
      version: '0.1',
      log: {level: 'warn', accesslog: {disabled: true}},
      storage: {filesystem: {rootdirectory: join(site.folder, 'storage')}, delete: {enabled: true}},
      http: {addr: `${HOST}:${port}`},
    }),
  );
  const env = {...process.env, OTEL_TRACES_EXPORTER: 'none'};
  const log = join(site.folder, 'output');
  const child = new Child(['docker-registry', 'serve', file], {log, inside: [], env});
  return settled(site, child, port, {});
}

async function settled(
  site: Site,
  child: Child,
  port: number,
  headers: Readonly<Record<string, string>>,
): Promise<Running> {
  return settle(site, child, {
    host: HOST,
    port,
    path: (kind, reference) => `/v2/${site.dataset.repository}/${kind}/${reference}`,
    headers: Object.entries(headers).map(([name, value]) => `${name}: ${value}`),
  });
}
