import {spawn} from 'node:child_process';
import {buffer} from 'node:stream/consumers';

export interface RunOptions {
  readonly env?: NodeJS.ProcessEnv;
  readonly cwd?: string;
  /** Written to its standard input. */
  readonly input?: string | Uint8Array;
  readonly timeoutMs?: number;
}

/**
 * Runs a program to its end.
 * @returns its standard output, undecoded.
 * @throws {Error} with its standard error if it fails, cannot be started or takes longer than `timeoutMs` (120,000).
 */
export async function run(command: string, args: readonly string[], options: RunOptions = {}): Promise<Buffer> {
  const {input, timeoutMs = 120_000, ...rest} = options;
  const child = spawn(command, args, {...rest, timeout: timeoutMs, killSignal: 'SIGKILL'});
  child.stdin.on('error', () => {}); // it may not want to read
  child.stdin.end(input);
  const ended = new Promise<number | NodeJS.Signals | null>((resolve, reject) => {
    child.once('error', reject).once('close', (code, signal) => resolve(code ?? signal));
  });
  const [stdout, stderr, status] = await Promise.all([buffer(child.stdout), buffer(child.stderr), ended]);
  if (status !== 0)
    throw new Error(`${command} ${args.join(' ')}: ${status}\n${stderr.toString()}${stdout.toString()}`.slice(0, 8192));
  return stdout;
}
