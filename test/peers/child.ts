import {spawn, type ChildProcess} from 'node:child_process';
import {once} from 'node:events';
import {createInterface} from 'node:readline';
import {poll} from '../poll.ts';

/** Lines of a program's output that are kept: enough to explain a failure. */
const MAX_LINES = 20_000;
/** How long a program may take to end after SIGTERM before it is killed. */
const GRACE_MS = 15_000;

export interface ChildOptions {
  readonly env?: NodeJS.ProcessEnv;
  readonly cwd?: string;
}

/** Programs that run now: they are not to outlive the test process, however it ends. */
const running = new Set<ChildProcess>();
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL');
});

/** A program that runs beside the test. Disposed of, it is stopped. */
export class Child implements AsyncDisposable {
  readonly name: string;
  /** What it said on stdout and stderr, a line each, the oldest dropped beyond a bound. */
  readonly lines: string[] = [];
  readonly #process: ChildProcess;
  readonly #ended: Promise<void>;

  constructor(command: string, args: readonly string[], options: ChildOptions = {}) {
    this.name = command;
    this.#process = spawn(command, args, {...options, stdio: ['ignore', 'pipe', 'pipe']});
    running.add(this.#process);
    for (const stream of [this.#process.stdout, this.#process.stderr])
      if (stream) createInterface({input: stream}).on('line', (line) => this.#keep(line));
    this.#process.once('error', (error) => this.#keep(String(error)));
    // 'exit', not 'close': a grandchild may hold the pipes open for longer.
    this.#ended = new Promise((resolve) => {
      this.#process.once('exit', () => resolve());
      this.#process.once('error', () => resolve());
    });
    void this.#ended.then(() => running.delete(this.#process));
  }

  /** @throws {Error} if it could not be started. */
  get pid(): number {
    const {pid} = this.#process;
    if (pid === undefined) throw new Error(`${this.name} did not start: ${this.tail()}`);
    return pid;
  }

  get running(): boolean {
    return this.#process.pid !== undefined && this.#process.exitCode === null && this.#process.signalCode === null;
  }

  /** Exit status, or the signal that ended it; `undefined` while it runs. */
  get status(): number | NodeJS.Signals | undefined {
    return this.#process.exitCode ?? this.#process.signalCode ?? undefined;
  }

  /** The end of its output, for messages. */
  tail(lines = 20): string {
    return this.lines.slice(-lines).join('\n');
  }

  /** Waits until `ready` holds. @throws {Error} with the end of the output if the program ends first or takes too long. */
  async untilReady(ready: () => boolean | Promise<boolean>, timeoutMs = 30_000): Promise<void> {
    try {
      await poll(`${this.name} is ready`, async () => !this.running || (await ready()), timeoutMs);
    } catch (error) {
      throw new Error(`${String(error)}\n${this.tail()}`, {cause: error});
    }
    if (!this.running) throw new Error(`${this.name} ended (${this.status}) before it was ready:\n${this.tail()}`);
  }

  /** Sends a signal without waiting. */
  signal(signal: NodeJS.Signals): void {
    this.#process.kill(signal);
  }

  /** Ends it and waits until it is gone; SIGKILL after a while. Idempotent. */
  async stop(signal: NodeJS.Signals = 'SIGTERM', graceMs: number = GRACE_MS): Promise<void> {
    if (!this.running) return;
    const timer = setTimeout(() => this.#process.kill('SIGKILL'), graceMs);
    this.#process.kill(signal);
    await this.#ended;
    clearTimeout(timer);
  }

  /** Waits for it to end by itself. */
  async ended(): Promise<number | NodeJS.Signals | undefined> {
    if (this.running) await once(this.#process, 'exit');
    return this.status;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  #keep(line: string): void {
    this.lines.push(line);
    if (this.lines.length > MAX_LINES) this.lines.shift();
  }
}
