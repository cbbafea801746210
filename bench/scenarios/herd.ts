import type {Contestant, Running} from '../contestants/contestant.ts';
import {peakOf, type Context} from '../context.ts';
import {boundGoal, limitGoal, quotient} from '../goal.ts';
import {touchMemory} from '../memory.ts';
import type {Scenario} from '../scenario.ts';

const CLIENTS = 64;
const COLD = `${CLIENTS} clients, cold`;
const WARM = `${CLIENTS} clients, warm`;
const PEAK_MIB = 200;

/** Everybody wants the same image at once, and nobody has it. */
export const herd: Scenario = {
  name: 'herd',
  title: `${CLIENTS} clients ask for the same cold blob at once; then once more, when it is held`,
  goals: [
    boundGoal({
      of: COLD,
      text: (bound) => `upstream sends ${bound}× the blob`,
      value: (median) => median({of: COLD, contestant: 'noost', metric: 'upstreamShare'}),
      unit: '×',
      atMost: 1.001, // a third decimal for nothing: it is one blob, to the byte
    }),
    boundGoal({
      of: COLD,
      text: (bound) => `slowest ${bound}× of ${CLIENTS} warm clients' slowest`,
      value: (median) =>
        quotient(
          median({of: COLD, contestant: 'noost', metric: 'slowest'}),
          median({of: WARM, contestant: 'noost', metric: 'slowest'}),
        ),
      unit: '×',
      atMost: 1.3,
    }),
    limitGoal({of: COLD, metric: 'peakMemory', atMost: PEAK_MIB}),
  ],
  async run(context) {
    const all = new Map(
      context
        .contestants('noost', 'nginx-cache', 'distribution')
        .filter(({caches}) => caches)
        .map((each) => [each.name, each]),
    );
    await context.alternate(COLD, all.keys(), (name) => measure(context, all.get(name)));
  },
};

async function measure(context: Context, contestant: Contestant | undefined): Promise<void> {
  if (contestant === undefined) return;
  const {name} = contestant;
  await using running = await contestant.start(await context.site(name));
  const before = (await context.upstream.sent()).length;
  await touchMemory(context.dataset.herd.sizeBytes);
  await ask(context, running, name, COLD);
  const sent = await context.upstream.sentBytes(before);
  context.results.add(COLD, name, {upstreamShare: sent / context.dataset.herd.sizeBytes});
  await ask(context, running, name, WARM);
}

async function ask(context: Context, running: Running, name: string, of: string): Promise<void> {
  const {digest, path: reference} = context.dataset.herd;
  const steps = [{path: running.path('blobs', digest), reference}];
  const round = await context.round(of, name, running, () =>
    context.load(running, steps, {clients: CLIENTS, barrier: true, deadlineSeconds: 300}),
  );
  const {bytes, seconds, latencyMs} = round.report;
  context.results.add(of, name, {
    throughput: bytes / seconds / 1e9,
    slowest: latencyMs.max,
    p50: latencyMs.p50,
    ...peakOf(round),
  });
}
