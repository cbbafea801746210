import {join} from 'node:path';
import type {Running} from '../contestants/contestant.ts';
import type {Dataset} from '../dataset.ts';
import {cpuOf, peakOf, type Context} from '../context.ts';
import {ControlGroup} from '../control-group.ts';
import type {LoadReport} from '../generator.ts';
import {boundGoal, ratioGoal} from '../goal.ts';
import {runCommand} from '../run-command.ts';
import type {Scenario} from '../scenario.ts';

const CLIENTS = [1, 4, 32];
/** At least so much is transferred in a round: processor time is counted in hundredths of a second. */
const ROUND_BYTES = {full: 4 * 1024 ** 3, quick: 1024 ** 3};
const MIB = 1024 ** 2;
/** The page cache in it does not hold the blob. */
const TIGHT_BYTES = 256 * MIB;
/** What manifests/ give the agent: test/integration/manifests.test.ts holds the two equal. */
export const SHIPPED_BYTES = 2048 * MIB;
const GROUP_CLIENTS = 4;
/** What one client pulls again is looked at more closely (ADR 4): that has its price, and a case of its own. */
const AGAIN_CASE = '1 client that asks again';

const caseOf = (clients: number): string => `${clients} client${clients === 1 ? '' : 's'}`;
const TIGHT_CASE = `${caseOf(GROUP_CLIENTS)}, memory limit`;
const SHIPPED_CASE = `${caseOf(GROUP_CLIENTS)}, memory limit of the manifests`;

/** How fast what is held leaves. */
export const warmLarge: Scenario = {
  name: 'warm-large',
  title: 'A large blob that is held, to 1, 4 and 32 clients, and in a memory control group',
  goals: [
    ...CLIENTS.map(caseOf).flatMap((of) => [
      ratioGoal({of, metric: 'throughput', to: 'nginx', atLeast: 1}),
      ratioGoal({of, metric: 'throughput', to: 'distribution', atLeast: 1.5}),
      ratioGoal({of, metric: 'cpuPerGb', to: 'nginx', atMost: 1.3}),
    ]),
    boundGoal({
      of: SHIPPED_CASE,
      text: (bound) => `throughput ${bound}× the same without a limit`,
      value: (median) => {
        const limited = median({of: SHIPPED_CASE, metric: 'throughput', contestant: 'noost'});
        const free = median({of: caseOf(GROUP_CLIENTS), metric: 'throughput', contestant: 'noost'});
        return limited === undefined || free === undefined ? undefined : limited / free;
      },
      unit: '×',
      atLeast: 0.8,
    }),
  ],
  async run(context) {
    await unlimited(context);
    await context.attempt(TIGHT_CASE, '(all)', () => limited(context, TIGHT_CASE, TIGHT_BYTES));
    await context.attempt(SHIPPED_CASE, '(all)', () => limited(context, SHIPPED_CASE, SHIPPED_BYTES));
  },
};

async function unlimited(context: Context): Promise<void> {
  const running = await context.startAll('start', context.contestants('noost', 'nginx', 'distribution', 'sink'));
  try {
    const warm = await warmed(context, 'warming', running);
    for (const clients of CLIENTS)
      await context.alternate(caseOf(clients), warm.keys(), (name) =>
        measure(context, caseOf(clients), name, warm.get(name), firstAsks(context, clients)),
      );
    await context.alternate(AGAIN_CASE, warm.keys(), (name) =>
      measure(context, AGAIN_CASE, name, warm.get(name), againAsks(context)),
    );
  } finally {
    for (const each of running.values()) await each.stop();
  }
}

/** The page cache is charged to the group: whoever serves has to live with what it leaves. A group for each. */
async function limited(context: Context, of: string, limitBytes: number): Promise<void> {
  await using stack = new AsyncDisposableStack();
  const warm = new Map<string, Running>();
  for (const contestant of context.contestants('noost', 'nginx', 'distribution').filter(({restarts}) => restarts)) {
    const {name} = contestant;
    await context.attempt(of, name, async () => {
      const group = stack.use(await ControlGroup.make(`noost-bench-${process.pid}-${name}`, limitBytes));
      const site = await context.site(name, {inside: group.inside});
      const dataset = name === 'nginx' ? await copiedIn(group, context.dataset, site.folder) : context.dataset;
      const running = stack.use(await contestant.start({...site, dataset}));
      await context.load(running, [step(context, running)]);
      warm.set(name, running);
    });
  }
  context.results.remark(of, '(all)', `each in a control group of ${limitBytes / MIB} MiB of its own`);
  await context.alternate(of, warm.keys(), (name) =>
    measure(context, of, name, warm.get(name), firstAsks(context, GROUP_CLIENTS)),
  );
}

/** The blob's pages have to be charged to the group as those of a cache are, so it is written in the group. */
async function copiedIn(group: ControlGroup, dataset: Dataset, folder: string): Promise<Dataset> {
  const large = {...dataset.large, path: join(folder, 'large')};
  await runCommand([...group.inside, 'cp', '--reflink=never', dataset.large.path, large.path]);
  return {...dataset, large, blobs: dataset.blobs.map((blob) => (blob.digest === large.digest ? large : blob))};
}

/** Those that answer rightly, after having been asked once. */
async function warmed(
  context: Context,
  of: string,
  running: ReadonlyMap<string, Running>,
): Promise<Map<string, Running>> {
  const warm = new Map<string, Running>();
  for (const [name, each] of running) {
    context.say(`${of} · ${name}`);
    const done = await context.attempt(of, name, () =>
      context.load(each, [step(context, each)], {deadlineSeconds: 120}),
    );
    if (done !== undefined) warm.set(name, each);
  }
  return warm;
}

function step({dataset: {large}}: Context, running: Running): {readonly path: string; readonly reference: string} {
  return {path: running.path('blobs', large.digest), reference: large.path};
}

/** Loads one after another. */
type Asks = readonly Parameters<Context['load']>[2][];

/** Clients that ask for the first time. */
function firstAsks(context: Context, clients: number): Asks {
  return Array.from({length: timesIn(context, clients)}, () => ({client: context.newClient(), clients}));
}

function againAsks(context: Context): Asks {
  return [{requests: timesIn(context, 1)}];
}

/** How often so many clients ask in a round. */
function timesIn({quick, dataset}: Context, clients: number): number {
  const wanted = quick ? ROUND_BYTES.quick : ROUND_BYTES.full;
  return Math.max(1, Math.round(wanted / (clients * dataset.large.sizeBytes)));
}

async function measure(
  context: Context,
  of: string,
  name: string,
  running: Running | undefined,
  asks: Asks,
): Promise<void> {
  if (running === undefined) return;
  const round = await context.round(of, name, running, async () => {
    const reports: LoadReport[] = [];
    for (const ask of asks)
      reports.push(
        await context.load(running, [step(context, running)], {barrier: true, deadlineSeconds: 240, ...ask}),
      );
    return added(reports);
  });
  const {bytes, seconds, cpuSeconds} = round.report;
  context.results.add(of, name, {throughput: bytes / seconds / 1e9, ...cpuOf(round), ...peakOf(round)});
  context.results.add(of, `load generator for ${name}`, {cpuPerGb: cpuSeconds / (bytes / 1e9)});
}

/** One report of loads that followed each other: the time between them is not counted. */
function added([first, ...others]: readonly LoadReport[]): LoadReport {
  if (first === undefined) throw new Error('Nothing was asked');
  return others.reduce(
    (sum, {bytes, seconds, cpuSeconds}) => ({
      ...sum,
      bytes: sum.bytes + bytes,
      seconds: sum.seconds + seconds,
      cpuSeconds: sum.cpuSeconds + cpuSeconds,
    }),
    first,
  );
}
