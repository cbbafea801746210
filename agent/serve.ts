import {execFile} from 'node:child_process';
import {promisify} from 'node:util';
import type {AgentConfig} from './config/shape.ts';
import {readHandover} from './handover.ts';
import {runAgent} from './main.ts';
import {DataFolderError} from './store/folder.ts';

/** Longest wait for a child that reads a file and some names. */
const RELOAD_MS = 60_000;
const MAX_CONFIG_BYTES = 16 << 20;

/**
 * Runs the agent and says what the system or the data folder refuses.
 * @returns the exit code.
 */
export async function serve(config: AgentConfig, load: () => Promise<AgentConfig>): Promise<number> {
  try {
    return await runAgent(config, load);
  } catch (error) {
    // That is for the administrator; anything else is a bug and keeps its stack.
    const {code, message} = error as NodeJS.ErrnoException;
    if (!(error instanceof DataFolderError) && typeof code !== 'string') throw error;
    const advice =
      code === 'EADDRINUSE' ? '\nAnother program has this address: say another with --listen or --admin-listen' : '';
    process.stderr.write(`noost: The agent cannot run: ${message}${advice}\n`);
    return 1;
  }
}

/** Reads the configuration anew in a child, which is as short-lived as the libraries it needs. */
async function loadInChild([program = '', ...args]: readonly string[]): Promise<AgentConfig> {
  const env = {...process.env, NOOST_HANDOVER: 'print'};
  try {
    const options = {env, timeout: RELOAD_MS, maxBuffer: MAX_CONFIG_BYTES};
    const {stdout} = await promisify(execFile)(program, args, options);
    return JSON.parse(stdout) as AgentConfig; // our own program printed it
  } catch (error) {
    const {stderr = ''} = error as {stderr?: string};
    throw new Error(stderr.trim().replace(/^noost: /, '') || (error as Error).message, {cause: error});
  }
}

if (import.meta.main) {
  const {config, again} = readHandover();
  process.exitCode = await serve(config, () => loadInChild(again));
}
