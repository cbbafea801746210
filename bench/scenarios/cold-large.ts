import {rm} from 'node:fs/promises';
import {join} from 'node:path';
import type {Contestant, Site} from '../contestants/contestant.ts';
import {peakOf, type Context} from '../context.ts';
import type {BlobFile} from '../blob-file.ts';
import type {LoadReport} from '../generator.ts';
import {boundGoal, quotient, type Lookup} from '../goal.ts';
import {Link} from '../link.ts';
import {touchMemory} from '../memory.ts';
import {runCommand} from '../run-command.ts';
import type {Scenario} from '../scenario.ts';
import {Upstream} from '../upstream.ts';

const LIMITED = '1 Gbit/s';
const UNLIMITED = 'unlimited';
/** What a cold blob takes at least, each by a plain program; and what they take while they share the machine. */
const [DIRECT, HASHING, WRITING, TOGETHER] = ['direct', 'sha256', 'write and fsync', 'these three at once'] as const;
/** In namespaces of its own nobody else has the port. */
const UPSTREAM_PORT = 5000;
/** Pulled before: of 10 KiB, 100 KiB and 1 MiB. */
const WARMING_BLOBS = 3;

/** How much longer a pull takes because nobody had it yet. */
export const coldLarge: Scenario = {
  name: 'cold-large',
  title: 'A large blob through an empty cache, from an upstream behind a link of 1 Gbit/s and from one without a limit',
  goals: [
    boundGoal({
      of: LIMITED,
      text: (bound) => `last byte ${bound}× direct`,
      unit: '×',
      atMost: 1.05,
      value: (median) => lastByteRatio(median, LIMITED, [DIRECT]),
    }),
    boundGoal({
      of: UNLIMITED,
      text: (bound) => `last byte ${bound}× the slowest of direct, hashing, writing`,
      unit: '×',
      atMost: 1.1,
      value: (median) => lastByteRatio(median, UNLIMITED, [DIRECT, HASHING, WRITING]),
    }),
    ...[LIMITED, UNLIMITED].map((of) =>
      boundGoal({
        of,
        text: (bound) => `first byte ${bound} ms after direct`,
        unit: ' ms',
        atMost: 5,
        value: (median) => {
          const [own, direct] = ['noost', DIRECT].map((contestant) => median({of, contestant, metric: 'firstByte'}));
          return own === undefined || direct === undefined ? undefined : own - direct;
        },
      }),
    ),
  ],
  async run(context) {
    await context.attempt(LIMITED, '(all)', () => limited(context));
    await measureAll(context, UNLIMITED, {upstream: context.upstream});
  },
};

interface Times {
  readonly firstByte?: number;
  readonly lastByte: number;
}

function lastByteRatio(median: Lookup, of: string, others: readonly string[]): number | undefined {
  const times = others.map((contestant) => median({of, contestant, metric: 'lastByte'}));
  const slowest = times.includes(undefined) ? undefined : Math.max(...times.map((time) => time ?? 0));
  return quotient(median({of, contestant: 'noost', metric: 'lastByte'}), slowest);
}

async function limited(context: Context): Promise<void> {
  await using link = await Link.make('1gbit');
  const place = {host: link.upstreamAddress, port: UPSTREAM_PORT, inside: link.insideUpstream};
  await using upstream = await Upstream.start(context.dataset, {folder: await context.folder('upstream'), ...place});
  const {host, port} = upstream;
  await context.generator.wait({host, port, steps: [{path: '/v2/'}], inside: link.insideNode}, 10);
  await measureAll(context, LIMITED, {upstream, inside: link.insideNode, network: link.insideNode});
}

async function measureAll(
  context: Context,
  of: string,
  place: Pick<Site, 'upstream' | 'inside' | 'network'>,
): Promise<void> {
  const all = new Map(
    context
      .contestants('noost', 'nginx-cache', 'distribution')
      .filter(({caches}) => caches)
      .map((each) => [each.name, each]),
  );
  const yardsticks = of === UNLIMITED ? [DIRECT, HASHING, WRITING, TOGETHER] : [DIRECT];
  await context.alternate(of, [...yardsticks, ...all.keys()], async (name) => {
    await runCommand(['sync']); // what the one before has written is not this one's to wait for
    const contestant = all.get(name);
    if (contestant !== undefined) return cold(context, of, contestant, place);
    await touchMemory(context.dataset.large.sizeBytes);
    context.results.add(of, name, await yardstick(context, name, place));
  });
}

async function cold(context: Context, of: string, contestant: Contestant, place: Partial<Site>): Promise<void> {
  const {name} = contestant;
  const {digest, path: reference} = context.dataset.large;
  await using running = await contestant.start(await context.site(name, place));
  // The cache is empty of this blob; the process is not one that has never answered.
  const others = context.dataset.soak
    .slice(0, WARMING_BLOBS)
    .map((blob) => ({path: running.path('blobs', blob.digest), reference: blob.path}));
  await context.load(running, others, {inside: place.network ?? []});
  const steps = [{path: running.path('blobs', digest), reference}];
  await touchMemory(context.dataset.large.sizeBytes);
  const round = await context.round(of, name, running, () =>
    context.load(running, steps, {inside: place.network ?? [], deadlineSeconds: 300}),
  );
  context.results.add(of, name, {...timesOf(round.report), ...peakOf(round)});
}

/** What any cache has to do with the same bytes. */
async function yardstick(context: Context, name: string, place: Pick<Site, 'upstream' | 'network'>): Promise<Times> {
  const {large} = context.dataset;
  if (name === DIRECT) return direct(context, place);
  if (name === HASHING) return {lastByte: await hash(large)};
  const folder = await context.folder('write');
  if (name === WRITING) return {lastByte: await write(large, folder)};
  const all = [direct(context, place).then(({lastByte}) => lastByte), hash(large), write(large, folder)];
  return {lastByte: Math.max(...(await Promise.all(all)))};
}

async function direct(context: Context, {upstream, network}: Pick<Site, 'upstream' | 'network'>): Promise<Times> {
  const {dataset, generator} = context;
  const steps = [{path: `/v2/${dataset.repository}/blobs/${dataset.large.digest}`, reference: dataset.large.path}];
  const {host, port} = upstream;
  return timesOf(await generator.run({host, port, steps, inside: network ?? [], deadlineSeconds: 300}));
}

function timesOf({latencyMs, firstByteMs}: LoadReport): Times & {readonly firstByte: number} {
  return {firstByte: firstByteMs.max, lastByte: latencyMs.max};
}

async function hash({path}: BlobFile): Promise<number> {
  const begun = performance.now();
  await runCommand(['openssl', 'dgst', '-sha256', path]);
  return performance.now() - begun;
}

async function write({path}: BlobFile, folder: string): Promise<number> {
  const to = join(folder, 'copy');
  const begun = performance.now();
  await runCommand(['dd', `if=${path}`, `of=${to}`, 'bs=1M', 'conv=fsync', 'status=none']);
  const took = performance.now() - begun;
  await rm(to);
  return took;
}
