import type {Contestant} from '../contestants/contestant.ts';
import {peakOf, type Context} from '../context.ts';
import {boundGoal} from '../goal.ts';
import {touchMemory} from '../memory.ts';
import type {Scenario} from '../scenario.ts';

const FAST = 48;
const SLOW = 16;
const SLOW_BYTES_PER_SECOND = 1e6;
const ALONE = `${FAST} clients alone`;
const BESIDE = `${FAST} clients beside ${SLOW} slow`;

/** A client on a bad line must not hold up the others. */
export const herdSlow: Scenario = {
  name: 'herd-slow',
  title: `${FAST} clients ask for the same cold blob, alone and while ${SLOW} more read it at 1 MB/s`,
  goals: [
    boundGoal({
      of: BESIDE,
      text: (bound) => `slowest of the others ${bound}× without slow ones`,
      value: (median) => median({of: BESIDE, contestant: 'noost', metric: 'slowestRatio'}),
      unit: '×',
      atMost: 1.05,
    }),
    boundGoal({
      of: BESIDE,
      text: (bound) => `upstream sends ${bound}× the blob`,
      value: (median) => median({of: BESIDE, contestant: 'noost', metric: 'upstreamShare'}),
      unit: '×',
      atMost: 1.001,
    }),
  ],
  async run(context) {
    const all = new Map(
      context
        .contestants('noost', 'nginx-cache', 'distribution')
        .filter(({caches}) => caches)
        .map((each) => [each.name, each]),
    );
    await context.alternate(BESIDE, all.keys(), async (name) => {
      const contestant = all.get(name);
      if (contestant === undefined) return;
      const alone = () => measure(context, contestant, ALONE, 0);
      const beside = () => measure(context, contestant, BESIDE, SLOW);
      // ABBA, and each round compared by itself: a machine that becomes slower meanwhile is slower for both.
      const [a, b, c, d] = [await alone(), await beside(), await beside(), await alone()];
      context.results.add(BESIDE, name, {slowestRatio: (b + c) / (a + d)});
    });
  },
};

/**
 * With a cache that is cold each time.
 * @returns when the slowest of the fast clients had everything, in ms
 */
async function measure(context: Context, contestant: Contestant, of: string, slow: number): Promise<number> {
  const {name} = contestant;
  const {digest, path: reference, sizeBytes} = context.dataset.herd;
  await using running = await contestant.start(await context.site(name));
  const before = (await context.upstream.sent()).length;
  const steps = [{path: running.path('blobs', digest), reference}];
  const options = {
    clients: FAST + slow,
    slow,
    slowBytesPerSecond: SLOW_BYTES_PER_SECOND,
    threads: 1,
    barrier: true,
    deadlineSeconds: 300,
  };
  await touchMemory(sizeBytes);
  const round = await context.round(of, name, running, () => context.load(running, steps, options));
  const {latencyMs} = round.report;
  const upstreamShare = (await context.upstream.sentBytes(before)) / sizeBytes;
  context.results.add(of, name, {slowest: latencyMs.max, p50: latencyMs.p50, upstreamShare, ...peakOf(round)});
  return latencyMs.max;
}
