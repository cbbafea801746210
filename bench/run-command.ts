import {execFile} from 'node:child_process';
import {promisify} from 'node:util';

const execute = promisify(execFile);
const MOST_OUTPUT_BYTES = 16 * 1024 * 1024;

/** Runs a program to its end. @returns stdout. @throws {Error} with the end of stderr unless it succeeds. */
export async function runCommand(
  command: readonly string[],
  options: {readonly timeoutMs?: number} = {},
): Promise<string> {
  const [file = '', ...args] = command;
  try {
    const {stdout} = await execute(file, args, {
      maxBuffer: MOST_OUTPUT_BYTES,
      encoding: 'utf8',
      timeout: options.timeoutMs ?? 600_000,
    });
    return stdout;
  } catch (error) {
    const {stderr = '', message} = error as Error & {stderr?: string};
    throw new Error(`${file}: ${(stderr || message).trim().slice(-1000)}`, {cause: error});
  }
}
