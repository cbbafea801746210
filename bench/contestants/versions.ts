import {execFile} from 'node:child_process';
import {promisify} from 'node:util';

const execute = promisify(execFile);

/** The first line that a program says of its version, on whichever stream. @throws {Error} where it is not installed. */
export async function firstLine(file: string, ...args: readonly string[]): Promise<string> {
  const {stdout, stderr} = await execute(file, args, {timeout: 20_000});
  return `${stdout}${stderr}`.trim().split('\n', 1)[0] ?? '';
}

export async function nginxVersion(): Promise<string> {
  return firstLine('nginx', '-v');
}
