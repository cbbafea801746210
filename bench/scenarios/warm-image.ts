import {join} from 'node:path';
import {ContainerdFetcher} from '../containerd-fetcher.ts';
import type {Running} from '../contestants/contestant.ts';
import {cpuOf, peakOf, type Context} from '../context.ts';
import {ratioGoal} from '../goal.ts';
import type {Scenario} from '../scenario.ts';

/** containerd's `max_concurrent_downloads`. */
const AT_ONCE = 3;
const BY_GENERATOR = 'as containerd asks';
const BY_CONTAINERD = 'ctr content fetch';

/** A pull as a node does it. */
export const warmImage: Scenario = {
  name: 'warm-image',
  title: `An image that is held: index, manifest, config and 12 layers, ${AT_ONCE} at once; and by containerd, which writes it to its disk`,
  goals: [ratioGoal({of: BY_GENERATOR, metric: 'time', to: 'distribution', atMost: 1})],
  async run(context) {
    const running = await context.startAll('start', context.contestants('noost', 'nginx', 'distribution'));
    try {
      for (const [name, each] of running) await context.attempt('warming', name, () => pull(context, each));
      await context.alternate(BY_GENERATOR, running.keys(), (name) => measure(context, name, running.get(name)));
      await context.attempt(BY_CONTAINERD, '(all)', () => byContainerd(context, running));
    } finally {
      for (const each of running.values()) await each.stop();
    }
  },
};

/** Everything by its digest but the index, each kind after what names it. */
async function pull(context: Context, running: Running) {
  const {index, manifest, config, layers, tag} = context.dataset.image;
  const blobs = [config, ...layers].map(({digest, path}) => ({path: running.path('blobs', digest), reference: path}));
  const steps = [
    {method: 'HEAD', path: running.path('manifests', tag), reference: index.path},
    'barrier',
    {path: running.path('manifests', index.digest), reference: index.path},
    'barrier',
    {path: running.path('manifests', manifest.digest), reference: manifest.path},
    'barrier',
    ...blobs,
  ] as const;
  return context.load(running, steps, {clients: AT_ONCE, order: 'shared'});
}

async function measure(context: Context, name: string, running: Running | undefined): Promise<void> {
  if (running === undefined) return;
  const round = await context.round(BY_GENERATOR, name, running, () => pull(context, running));
  const {bytes, seconds} = round.report;
  context.results.add(BY_GENERATOR, name, {
    time: seconds * 1000,
    throughput: bytes / seconds / 1e9,
    ...cpuOf(round),
    ...peakOf(round),
  });
}

async function byContainerd(context: Context, running: ReadonlyMap<string, Running>): Promise<void> {
  const folder = await context.folder('containerd');
  await using containerd = await ContainerdFetcher.start(folder);
  const {repository, image} = context.dataset;
  await context.alternate(BY_CONTAINERD, running.keys(), async (name, round) => {
    const each = running.get(name);
    if (each === undefined) return;
    const hosts = {folder: join(folder, `hosts-${name}`), url: `http://${each.host}:${each.port}`};
    const time = await containerd.fetch(`${repository}:${image.tag}`, hosts, `${name}-${round}`);
    context.results.add(BY_CONTAINERD, name, {time});
  });
}
