import {spawn, type ChildProcess} from 'node:child_process';
import {once} from 'node:events';
import {closeSync, openSync, readFileSync} from 'node:fs';
import {setTimeout as delay} from 'node:timers/promises';

/** How long a program may take to end after SIGTERM before it is killed. */
const STOP_MS = 8000;
const TAIL_CHARACTERS = 2000;

export interface ChildOptions {
  /** stdout and stderr, in one file: no pipe that this process would have to empty while it measures. */
  readonly log: string;
  readonly cwd?: string;
  readonly env?: NodeJS.ProcessEnv;
  /** Put before the command: another namespace, a control group. It has to `exec`, so that the process stays the same. */
  readonly inside?: readonly string[];
}

/** What the bench started and has not ended yet. */
const running = new Set<Child>();
for (const [signal, code] of [
  ['SIGINT', 130],
  ['SIGTERM', 143],
] as const)
  process.once(signal, () => {
    void Promise.allSettled([...running].map((child) => child.stop())).then(() => process.exit(code));
  });

/** A server that the bench started, and ends by its process id; also when the bench is ended by a signal. */
export class Child implements AsyncDisposable {
  readonly pid: number;
  readonly #process: ChildProcess;
  readonly #log: string;
  #failure: Error | undefined;
  constructor(command: readonly string[], options: ChildOptions) {
    const [file = '', ...args] = [...(options.inside ?? []), ...command];
    const log = openSync(options.log, 'w', 0o600);
    this.#log = options.log;
    this.#process = spawn(file, args, {cwd: options.cwd, env: options.env ?? process.env, stdio: ['ignore', log, log]});
    closeSync(log);
    this.#process.once('error', (error) => (this.#failure = error));
    this.#process.once('exit', () => running.delete(this));
    this.pid = this.#process.pid ?? 0;
    if (this.pid !== 0) running.add(this);
  }

  get running(): boolean {
    return (
      this.#failure === undefined &&
      this.pid !== 0 &&
      this.#process.exitCode === null &&
      this.#process.signalCode === null
    );
  }

  /** The end of what it said, for errors. */
  tail(): string {
    const text = this.#failure?.message ?? readFileSync(this.#log, 'utf8');
    return text.slice(-TAIL_CHARACTERS);
  }

  async stop(): Promise<void> {
    if (!this.running) return;
    const exit = once(this.#process, 'exit');
    this.#process.kill('SIGTERM');
    await Promise.race([exit, delay(STOP_MS, undefined, {ref: false})]);
    if (!this.running) return;
    this.#process.kill('SIGKILL');
    await exit;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }
}
