import {mkdtemp, rm} from 'node:fs/promises';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import '../proc/cli.ts';
import './commands/agent.ts';
import './serve.ts';
import {openStore} from './store/disk-store.ts';

/**
 * Fills Node's compile cache after an installation, in a checkout: the first start of an agent then needs neither
 * the time nor the 20 MB that stripping types takes. Not needed for anything to work.
 */
const folder = await mkdtemp(join(tmpdir(), 'noost-warm-'));
const store = await openStore(folder, {
  limits: {maxBytes: 1 << 20, minFree: {bytes: 0}, maxIdleMs: 1_000},
  events: {},
});
await store.close();
await rm(folder, {recursive: true});
