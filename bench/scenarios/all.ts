import type {Scenario} from '../scenario.ts';
import {coldLarge} from './cold-large.ts';
import {herdSlow} from './herd-slow.ts';
import {herd} from './herd.ts';
import {idle} from './idle.ts';
import {push} from './push.ts';
import {restart} from './restart.ts';
import {soak} from './soak.ts';
import {warmImage} from './warm-image.ts';
import {warmLarge} from './warm-large.ts';
import {warmSmall} from './warm-small.ts';
import {webhook} from './webhook.ts';

/** In the order in which they run. */
export const SCENARIOS: readonly Scenario[] = [
  warmLarge,
  warmSmall,
  warmImage,
  coldLarge,
  herd,
  herdSlow,
  restart,
  push,
  idle,
  soak,
  webhook,
];
