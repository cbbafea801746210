import {REGISTRIES} from '../contestants/registries.ts';
import type {Running} from '../contestants/contestant.ts';
import {cpuOf, peakOf, type Context} from '../context.ts';
import {limitGoal, ratioGoal} from '../goal.ts';
import {touchMemory} from '../memory.ts';
import {pushLarge, pushSmall} from '../pusher.ts';
import {runCommand} from '../run-command.ts';
import type {Scenario} from '../scenario.ts';

const LARGE = 'one large blob';
const SMALL = 'many small images';
const IMAGES = {full: 2_000, quick: 400};
const CLIENTS = 16;
/** Pushed before, so that no process is measured that has never taken a push. */
const WARMING_IMAGES = 20;
/** A node has room for so much, however large what is pushed is. */
const PEAK_MIB = 256;

/** How fast a registry takes what is pushed; each answers when it has stored it, Noost when that is durable. */
export const push: Scenario = {
  name: 'push',
  title: `A large blob, and images of one blob of 2,000 bytes by ${String(CLIENTS)} clients, into an empty registry`,
  goals: [
    ratioGoal({of: LARGE, metric: 'throughput', to: 'distribution', atLeast: 1}),
    limitGoal({of: LARGE, metric: 'peakMemory', atMost: PEAK_MIB}),
    limitGoal({of: SMALL, metric: 'peakMemory', atMost: PEAK_MIB}),
  ],
  async run(context) {
    const names = context.contestants('noost', 'distribution').map(({name}) => name);
    const taking = [...REGISTRIES].filter(([name]) => names.includes(name));
    for (const [of, measure] of [
      [LARGE, large],
      [SMALL, small],
    ] as const)
      await context.alternate(
        of,
        taking.map(([name]) => name),
        async (name) => {
          await using running = await REGISTRIES.get(name)?.(await context.site(name));
          if (running === undefined) return;
          await pushSmall(running, WARMING_IMAGES, 1);
          await runCommand(['sync']); // what the one before has written is not this one's to wait for
          await measure(context, name, running);
        },
      );
  },
};

async function large(context: Context, name: string, running: Running): Promise<void> {
  const {dataset} = context;
  await touchMemory(dataset.large.sizeBytes);
  const round = await context.round(LARGE, name, running, () => pushLarge(running, dataset.repository, dataset.large));
  const {bytes, seconds} = round.report;
  context.results.add(LARGE, name, {throughput: bytes / seconds / 1e9, ...cpuOf(round), ...peakOf(round)});
}

async function small(context: Context, name: string, running: Running): Promise<void> {
  const count = context.quick ? IMAGES.quick : IMAGES.full;
  const round = await context.round(SMALL, name, running, () => pushSmall(running, count, CLIENTS));
  const {p50, p99, p999} = round.report.latencyMs;
  const pushRate = round.report.requests / round.report.seconds;
  context.results.add(SMALL, name, {pushRate, p50, p99, p999, ...peakOf(round)});
}
