import {execFile} from 'node:child_process';
import {readFileSync} from 'node:fs';
import {cpus, loadavg, release, totalmem} from 'node:os';
import {dirname} from 'node:path';
import {promisify} from 'node:util';

const execute = promisify(execFile);

/** Where a run took place: a figure without it means nothing. */
export interface Machine {
  readonly cpu: string;
  readonly cores: number;
  /** Whether the processor has SHA instructions: hashing is some four times as fast with them. */
  readonly shaExtensions: boolean;
  readonly memoryGib: number;
  readonly kernel: string;
  readonly system: string;
  readonly node: string;
  /** Short hash, with `+` if the checkout has changes. */
  readonly commit: string;
  /** One-minute load average before the run. */
  readonly loadBefore: number;
}

export async function describeMachine(): Promise<Machine> {
  return {
    cpu: cpus()[0]?.model.trim() ?? 'unknown',
    cores: cpus().length,
    shaExtensions: /\b(sha_ni|sha2)\b/.test(readFileSync('/proc/cpuinfo', 'utf8')),
    memoryGib: Math.round(totalmem() / 1024 ** 3),
    kernel: release(),
    system: /^PRETTY_NAME="?([^"\n]+)/m.exec(readFileSync('/etc/os-release', 'utf8'))?.[1] ?? 'unknown',
    node: process.version,
    commit: await describeCommit(),
    loadBefore: loadavg()[0] ?? 0,
  };
}

async function describeCommit(): Promise<string> {
  const git = async (...args: readonly string[]): Promise<string> =>
    (await execute('git', args, {cwd: dirname(import.meta.dirname)})).stdout.trim();
  try {
    const changes = await git('status', '--porcelain', '--untracked-files=no');
    return `${await git('rev-parse', '--short', 'HEAD')}${changes === '' ? '' : '+'}`;
  } catch {
    return 'not a checkout';
  }
}
