import {flushCompileCache} from 'node:module';
import process from 'node:process';

const YOUNG = '--max-semi-space-size';

/**
 * Replaces this process, by execve(2), with a Node that has these flags: V8 reads the size of its young generation, and
 * the like, at its start only. Does not return where it works; an older Node, and emulation, cannot.
 * @param flags a size of the young generation among them takes the place of the one that was.
 */
export function beginAnew(
  flags: readonly string[],
  args: readonly string[],
  env: Readonly<NodeJS.ProcessEnv> = process.env,
): void {
  if (process.execve === undefined) return;
  const {execPath, execArgv} = process;
  const others = execArgv.filter((flag) => !flag.startsWith(YOUNG) && !flags.includes(flag));
  flushCompileCache(); // an exit would, and this is none
  process.execve(execPath, [execPath, ...others, ...flags, ...args], {...env});
}
