import {setTimeout as delay} from 'node:timers/promises';
import type {Scenario} from '../scenario.ts';
import {limitGoal} from '../goal.ts';
import {readUsage} from '../usage.ts';

const MIB = 1024 ** 2;
const SETTLE_MS = 2000;
const OF = 'started, nothing asked';

/** What it costs to have it on a node where nothing happens. */
export const idle: Scenario = {
  name: 'idle',
  title: 'Resident memory after the start, with an empty cache',
  goals: [limitGoal({of: OF, metric: 'memory', atMost: 100})],
  async run(context) {
    const all = new Map(
      context
        .contestants('noost', 'nginx-cache', 'distribution')
        .filter(({restarts}) => restarts)
        .map((each) => [each.name, each]),
    );
    await context.alternate(OF, all.keys(), async (name) => {
      await using running = await all.get(name)?.start(await context.site(name));
      if (running?.pid === undefined) return;
      await delay(SETTLE_MS);
      const {residentBytes, threads} = readUsage(running.pid);
      context.results.add(OF, name, {memory: residentBytes / MIB, threads});
    });
  },
};
