import {freemem} from 'node:os';
import {setTimeout as delay} from 'node:timers/promises';
import {runCommand} from './run-command.ts';

const MORE_BYTES = 256 * 1024 * 1024;
/** Its end is not the measured process's to wait for. Not longer: the host may look for free pages at any moment. */
const SETTLE_MS = 50;

/**
 * Uses memory for so many bytes of page cache, and gives it back. A virtual machine that tells its host of free pages
 * (free page reporting) gets each of them back by a fault: writing the same GiB took 0.2 s of processor time, or 2.4,
 * by whether its pages had been in use within the last two seconds. The memory of a node in service is full of page
 * cache and knows no such faults; so whatever fills the page cache here finds, mostly, pages that the machine has.
 */
export async function touchMemory(bytes: number): Promise<void> {
  const most = Math.floor(freemem() / 2);
  const block = `bs=${Math.min(bytes + MORE_BYTES, most)}`;
  await runCommand(['dd', 'if=/dev/zero', 'of=/dev/null', block, 'count=1', 'iflag=fullblock', 'status=none']);
  await delay(SETTLE_MS);
}
