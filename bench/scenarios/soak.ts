import {setTimeout as delay} from 'node:timers/promises';
import {noost} from '../contestants/noost.ts';
import type {Running} from '../contestants/contestant.ts';
import type {Context} from '../context.ts';
import {boundGoal, limitGoal} from '../goal.ts';
import type {Scenario} from '../scenario.ts';
import {runCommand} from '../run-command.ts';
import {readUsage, type Usage} from '../usage.ts';
import {join} from 'node:path';
import type {Step} from '../generator.ts';

const MIB = 1024 ** 2;
const SECONDS = {full: 120, quick: 20};
const CLIENTS = 24;
const SAMPLE_MS = 500;
/** The cache holds so much of what is asked for: the rest is evicted and fetched again, all the time. */
const CACHE_SHARE = 0.3;
/** Of the run, before memory has to be flat. */
const SETTLING_SHARE = 0.4;
const MOST_GROWTH_MIB = 24;
const OF = `${CLIENTS} clients, mix`;

/** Whether something grows that should not, while everything goes on at once. */
export const soak: Scenario = {
  name: 'soak',
  title: 'A mix of manifests, whole blobs and ranges, three times as much as the cache may hold',
  goals: [
    limitGoal({of: OF, metric: 'errors', atMost: 0}),
    limitGoal({of: OF, metric: 'memoryGrowth', atMost: MOST_GROWTH_MIB}),
    limitGoal({of: OF, metric: 'threadGrowth', atMost: 0}),
    limitGoal({of: OF, metric: 'descriptorGrowth', atMost: 8}),
    limitGoal({of: OF, metric: 'cacheShare', atMost: 1.01}),
    boundGoal({
      of: OF,
      text: () => 'evicts: the upstream is asked again',
      value: (median) => median({of: OF, contestant: 'noost', metric: 'upstreamShare'}),
      unit: '× of the data set',
      atLeast: 1,
    }),
  ],
  run,
};

async function run(context: Context): Promise<void> {
  if (context.contestants('noost').every(({name}) => name !== 'noost')) return;
  const total = context.dataset.soak.reduce((sum, {sizeBytes}) => sum + sizeBytes, 0);
  const cacheBytes = Math.round(total * CACHE_SHARE);
  const site = await context.site('noost', {cacheBytes});
  await using running = await noost.start(site);
  const before = (await context.upstream.sent()).length;
  const samples = await measure(context, running, join(site.folder, 'data'));
  const sent = await context.upstream.sentBytes(before);
  const used = Math.max(...samples.map(({diskBytes}) => diskBytes));
  context.results.add(OF, 'noost', {upstreamShare: sent / total, cacheShare: used / cacheBytes, ...growthOf(samples)});
}

interface Sample extends Usage {
  readonly diskBytes: number;
}

async function measure(context: Context, running: Running, dataFolder: string): Promise<readonly Sample[]> {
  const seconds = context.quick ? SECONDS.quick : SECONDS.full;
  const samples: Sample[] = [];
  const {host, port, pid = 0} = running;
  const load = context.generator.tryRun({
    host,
    port,
    steps: stepsOf(context, running),
    clients: CLIENTS,
    order: 'random',
    requests: 0,
    seconds,
    deadlineSeconds: seconds + 60,
  });
  let over = false;
  const sampling = (async () => {
    while (!over) {
      await delay(SAMPLE_MS);
      if (!over) samples.push({...readUsage(pid), diskBytes: await sizeOf(dataFolder)});
      context.say(`${OF} · ${(samples.length * SAMPLE_MS) / 1000} of ${seconds} s`);
    }
  })();
  const report = await load.finally(() => (over = true));
  await sampling;
  if (report.errors > 0) context.results.remark(OF, 'noost', `the first error: ${report.firstError}`);
  context.results.add(OF, 'noost', {
    errors: report.errors,
    requestRate: report.requests / report.seconds,
    throughput: report.bytes / report.seconds / 1e9,
    p99: report.latencyMs.p99,
  });
  return samples;
}

/** Small things more often than large ones, as in life; a third of the large ones in part. */
function stepsOf({dataset}: Context, {path}: Running): readonly Step[] {
  const manifests = dataset.manifests.map(({reference, file}): Step => ({
    path: path('manifests', reference),
    reference: file.path,
  }));
  const blobs = dataset.soak.map(({digest, path: reference}): Step => ({path: path('blobs', digest), reference}));
  const ranges = dataset.soak
    .filter(({sizeBytes}) => sizeBytes > 4 * MIB)
    .map(({digest, path: reference, sizeBytes}): Step => ({
      path: path('blobs', digest),
      reference,
      range: [Math.floor(sizeBytes / 3), Math.floor(sizeBytes / 2)],
    }));
  return [...blobs, ...ranges, ...Array.from({length: 8}, () => manifests).flat()];
}

/** Allocated bytes, what is on its way included. */
async function sizeOf(folder: string): Promise<number> {
  const text = await runCommand(['du', '-s', '-B1', join(folder, 'blobs')]).catch(() => '0'); // files vanish while it looks
  return Number.parseInt(text, 10);
}

/** Of the second part of the run against the time just after it settled. */
function growthOf(samples: readonly Sample[]): {
  readonly memory: number;
  readonly memoryGrowth: number;
  readonly threadGrowth: number;
  readonly descriptorGrowth: number;
} {
  const settled = samples.slice(Math.floor(samples.length * SETTLING_SHARE));
  const third = Math.max(1, Math.floor(settled.length / 3));
  const mean = (part: readonly Sample[], of: (sample: Sample) => number): number =>
    part.reduce((sum, sample) => sum + of(sample), 0) / part.length;
  const growth = (of: (sample: Sample) => number): number =>
    mean(settled.slice(-third), of) - mean(settled.slice(0, third), of);
  return {
    memory: mean(settled, ({residentBytes}) => residentBytes) / MIB,
    memoryGrowth: growth(({residentBytes}) => residentBytes) / MIB,
    threadGrowth: growth(({threads}) => threads),
    descriptorGrowth: growth(({descriptors}) => descriptors),
  };
}
