import {execFile} from 'node:child_process';
import {tmpdir} from 'node:os';
import {join} from 'node:path';

const CLI = join(import.meta.dirname, '../../proc/cli.ts');

export interface Outcome {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

/** For tests: a command of the program, in a process of its own. */
export function runCommand(words: readonly string[]): Promise<Outcome> {
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('NOOST_')));
  return new Promise((resolve) => {
    execFile(process.execPath, [CLI, ...words], {cwd: tmpdir(), env}, (error, out, err) => {
      resolve({code: error === null ? 0 : Number(error.code), out, err});
    });
  });
}
