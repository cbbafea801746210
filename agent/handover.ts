import {fileURLToPath} from 'node:url';
import {beginAnew} from '../proc/begin-anew.ts';
import type {AgentConfig} from './config/shape.ts';
import {YOUNG_FLAGS} from './young.ts';

/**
 * Reading flags and files takes libraries that a running agent needs no more: some 25 MB on every node. So
 * `noost agent` checks the configuration and then replaces itself, by execve(2), with a process that only serves.
 */
export interface Handover {
  readonly config: AgentConfig;
  /** The command that prints the configuration anew, for a reload: program and arguments. */
  readonly again: readonly string[];
}

const VARIABLE = 'NOOST_HANDOVER';
/** Below what Linux takes for one variable (MAX_ARG_STRLEN is 128 KiB). */
const MAX_BYTES = 100_000;

/** Whether this process was started to print the configuration for a reload. */
export function isAskedToPrint(): boolean {
  return process.env[VARIABLE] === 'print';
}

/** Does not return where it works; elsewhere (an older Node, a huge configuration) the caller serves by itself. */
export function handOver(config: AgentConfig): void {
  const again = [process.execPath, ...process.execArgv, ...process.argv.slice(1)];
  const text = JSON.stringify({config, again} satisfies Handover);
  if (Buffer.byteLength(text) > MAX_BYTES) return;
  const serve = fileURLToPath(import.meta.resolve(`./serve${import.meta.filename.endsWith('.ts') ? '.ts' : '.js'}`));
  beginAnew(YOUNG_FLAGS, [serve], {...process.env, [VARIABLE]: text});
}

/** What was handed over; taken out of the environment, so that children do not see it. */
export function readHandover(): Handover {
  const handover = JSON.parse(process.env[VARIABLE] ?? '') as Handover; // written by handOver
  delete process.env[VARIABLE];
  return handover;
}
