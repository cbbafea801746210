import {startBare} from '../contestants/bare.ts';
import type {Running} from '../contestants/contestant.ts';
import {peakOf, type Context} from '../context.ts';
import {ratioGoal} from '../goal.ts';
import type {Scenario} from '../scenario.ts';

const CONNECTIONS = 32;
const SECONDS = {full: 4, quick: 1};

const WARMING_SECONDS = 1;

const CASES = [
  {of: 'GET by tag', method: 'GET', by: 'tag'},
  {of: 'GET by digest', method: 'GET', by: 'digest'},
  {of: 'HEAD by tag', method: 'HEAD', by: 'tag'},
  {of: 'HEAD by digest', method: 'HEAD', by: 'digest'},
] as const;
type Case = (typeof CASES)[number];

/** How many small questions are answered, and how long the unlucky wait. */
export const warmSmall: Scenario = {
  name: 'warm-small',
  title: `A manifest of 1,500 bytes over ${CONNECTIONS} connections that are kept, log and metrics on`,
  goals: CASES.flatMap(({of, by}) => [
    ratioGoal({of, metric: 'requestRate', to: 'bare', atLeast: 0.8}),
    ratioGoal({of, metric: 'p99', to: 'bare', atMost: 2}),
    ...(by === 'tag' ? [ratioGoal({of, metric: 'requestRate', to: 'distribution', atLeast: 10})] : []),
  ]),
  async run(context) {
    const running = new Map(await context.startAll('start', context.contestants('noost', 'nginx', 'distribution')));
    try {
      await addBare(context, running);
      for (const one of CASES)
        await context.alternate(one.of, running.keys(), (name, round) =>
          measure(context, one, name, running.get(name), round),
        );
    } finally {
      for (const each of running.values()) await each.stop();
    }
  },
};

/** The bare answer has just the headers that Noost's has, so that it sends the same bytes. */
async function addBare(context: Context, running: Map<string, Running>): Promise<void> {
  if (context.contestants('bare').every(({name}) => name !== 'bare')) return;
  const noost = running.get('noost');
  const headers = noost === undefined ? {} : await headersOf(noost, context);
  const bare = await context.attempt('start', 'bare', async () => startBare(await context.site('bare'), headers));
  if (bare !== undefined) running.set('bare', bare);
}

async function headersOf({host, port, path}: Running, {dataset}: Context): Promise<Readonly<Record<string, string>>> {
  const response = await fetch(`http://${host}:${port}${path('manifests', dataset.small.tag)}`);
  await response.arrayBuffer();
  const own = new Set(['content-length', 'date', 'connection', 'keep-alive', 'transfer-encoding']); // those that node:http adds
  return Object.fromEntries([...response.headers].filter(([name]) => !own.has(name)));
}

async function measure(
  context: Context,
  one: Case,
  name: string,
  running: Running | undefined,
  round: number,
): Promise<void> {
  if (running === undefined) return;
  const {of, method, by} = one;
  const {tag, manifest} = context.dataset.small;
  const path = running.path('manifests', by === 'tag' ? tag : manifest.digest);
  const steps = [{method, path, reference: manifest.path}];
  // Fills the cache, and lets the code be compiled that will run on a node for weeks.
  await context.load(running, steps, round === 0 ? {clients: CONNECTIONS, seconds: WARMING_SECONDS, requests: 0} : {});
  const seconds = context.quick ? SECONDS.quick : SECONDS.full;
  const measured = await context.round(of, name, running, () =>
    context.load(running, steps, {clients: CONNECTIONS, seconds, requests: 0, barrier: true}),
  );
  const {report} = measured;
  const {p50, p99, p999} = report.latencyMs;
  context.results.add(of, name, {requestRate: report.requests / report.seconds, p50, p99, p999, ...peakOf(measured)});
}
