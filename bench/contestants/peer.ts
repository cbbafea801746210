import {join} from 'node:path';
import {freePort} from '../../test/free-port.ts';
import {Child} from '../child.ts';
import {pushDataset} from '../push.ts';
import type {Contestant, Running, Site} from './contestant.ts';
import {UPSTREAM_HOST} from './noost.ts';
import {settle} from './settle.ts';

/**
 * A registry or mirror that runs already, by the bench's `--peer NAME=URL`. What it does not find at the bench's
 * upstream is pushed to it. Its cache cannot be emptied, so it takes part in the warm scenarios.
 */
export function newPeer(name: string, url: string): Contestant {
  const {hostname: host, port, protocol} = new URL(url);
  if (protocol !== 'http:' || port === '') throw new SyntaxError(`--peer ${name}: http://HOST:PORT is expected`);
  const start = async (site: Site): Promise<Running> => {
    const stop = async (): Promise<void> => {};
    const running = {
      host,
      port: Number(port),
      pid: undefined,
      headers: [],
      path: pathOf(site),
      stop,
      [Symbol.asyncDispose]: stop,
    };
    const steps = [
      {path: running.path('manifests', site.dataset.small.tag), reference: site.dataset.small.manifest.path},
    ];
    const holds = await site.generator.run({host, port: running.port, steps}).then(
      () => true,
      () => false,
    );
    if (!holds) await pushDataset(site.dataset, url);
    return running;
  };
  return {name, version: async () => url, caches: false, restarts: false, start};
}

/**
 * A mirror that the bench starts, by `--peer-command 'NAME=COMMAND'`: a shell command with PORT, DATA (an empty folder) and
 * UPSTREAM (a URL) in its environment, that stays in the foreground.
 */
export function newPeerCommand(name: string, command: string): Contestant {
  const start = async (site: Site): Promise<Running> => {
    const port = await freePort();
    const {host: upstreamHost, port: upstreamPort} = site.upstream;
    const env = {
      ...process.env,
      PORT: String(port),
      DATA: site.folder,
      UPSTREAM: `http://${upstreamHost}:${upstreamPort}`,
    };
    const child = new Child(['sh', '-c', `exec ${command}`], {
      log: join(site.folder, 'output'),
      inside: site.inside ?? [],
      env,
    });
    return settle(site, child, {host: '127.0.0.1', port, path: pathOf(site)});
  };
  return {name, version: async () => command, caches: true, restarts: true, start};
}

function pathOf({dataset: {repository}}: Site): Running['path'] {
  return (kind, reference) => `/v2/${repository}/${kind}/${reference}?ns=${UPSTREAM_HOST}`;
}
