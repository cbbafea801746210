import {mkdir, rm} from 'node:fs/promises';
import {join} from 'node:path';
import {setTimeout as delay} from 'node:timers/promises';
import {noost, UPSTREAM_HOST} from '../contestants/noost.ts';
import type {Context} from '../context.ts';
import {limitGoal} from '../goal.ts';
import type {Scenario} from '../scenario.ts';
import {fillStore} from '../store-filler.ts';
import {readUsage} from '../usage.ts';

const MIB = 1024 ** 2;
const SIZES = {full: {blobs: 100_000, tags: 10_000}, quick: {blobs: 20_000, tags: 2000}};
/** After the start, when what was put off to it has been done. */
const SETTLE_MS = 3000;
const OF = 'cache of many blobs';

/** An agent that is restarted must be there again before anybody notices. */
export const restart: Scenario = {
  name: 'restart',
  title:
    'From the start of the process to the first answer, with a cache of 100,000 blobs and 10,000 tags (quick: a fifth)',
  goals: [limitGoal({of: OF, metric: 'time', atMost: 1000}), limitGoal({of: OF, metric: 'memory', atMost: 150})],
  async run(context) {
    if (context.contestants('noost').every(({name}) => name !== 'noost')) return;
    const {blobs, tags} = context.quick ? SIZES.quick : SIZES.full;
    const folder = await context.folder('restart');
    context.say(`filling a store with ${blobs} blobs`);
    await mkdir(join(folder, 'data'));
    fillStore(join(folder, 'data'), {blobs, tags, registry: UPSTREAM_HOST});
    await context.alternate(OF, ['noost'], () => measure(context, folder));
    await rm(folder, {recursive: true, force: true});
  },
};

async function measure(context: Context, folder: string): Promise<void> {
  const site = {generator: context.generator, dataset: context.dataset, upstream: context.upstream, folder};
  const begun = performance.now();
  await using running = await noost.start(site); // until `/v2/` is answered
  const time = performance.now() - begun;
  await delay(SETTLE_MS);
  const {residentBytes, threads} = readUsage(running.pid ?? 0);
  context.results.add(OF, 'noost', {time, memory: residentBytes / MIB, threads});
  await expectFilled(running.adminUrl ?? '', context);
}

/** Otherwise a store that was found empty would be the fastest. */
async function expectFilled(adminUrl: string, {quick}: Context): Promise<void> {
  const {blobs} = quick ? SIZES.quick : SIZES.full;
  const text = await (await fetch(`${adminUrl}/metrics`)).text();
  const found = [...text.matchAll(/^noost_cache_objects\{[^}]*\} (\d+)/gm)].reduce(
    (sum, [, count]) => sum + Number(count),
    0,
  );
  if (found < blobs) throw new Error(`the store has ${found} of ${blobs} blobs`);
}
