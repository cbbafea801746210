import {glob, mkdir, stat, writeFile} from 'node:fs/promises';
import {join} from 'node:path';
import {PERIOD_BYTES} from './blob-file.ts';
import {runCommand} from './run-command.ts';

const SOURCES = join(import.meta.dirname, 'load');
const FLAGS = ['-std=gnu17', '-O2', '-Wall', '-Wextra', '-pthread', '-D_GNU_SOURCE'];

export interface Percentiles {
  readonly count: number;
  readonly dropped: number;
  readonly mean: number;
  readonly min: number;
  readonly p50: number;
  readonly p90: number;
  readonly p99: number;
  readonly p999: number;
  readonly max: number;
}

/** What `load` prints. Slow clients are in the sums of requests and bytes only. */
export interface LoadReport {
  readonly requests: number;
  readonly bytes: number;
  /** From the first request to the last byte of the last answer. */
  readonly seconds: number;
  readonly errors: number;
  readonly firstError: string;
  /** Between the first and the last client's first request. */
  readonly startSpreadMs: number;
  /** Of the generator itself. */
  readonly cpuSeconds: number;
  readonly slowRequests: number;
  readonly slowBytes: number;
  readonly latencyMs: Percentiles;
  readonly firstByteMs: Percentiles;
}

/** One request and the file that the whole body has to be equal to; without one any body will do. */
export interface Step {
  readonly method?: 'GET' | 'HEAD';
  readonly path: string;
  readonly reference?: string;
  /** Bytes first to last, both included; the answer has to be 206. */
  readonly range?: readonly [number, number];
}

export interface LoadOptions {
  readonly host: string;
  readonly port: number;
  /** `'barrier'`: with order `shared`, everything before has to be complete first. */
  readonly steps: readonly (Step | 'barrier')[];
  readonly clients?: number;
  readonly threads?: number;
  /** Each client asks for all steps in turn (default), all share one queue, or each chooses at random. */
  readonly order?: 'each' | 'shared' | 'random';
  /** How often each client (with `shared`: all together) goes through the steps. 0 with `seconds`: for ever. @default 1 */
  readonly requests?: number;
  readonly seconds?: number;
  readonly deadlineSeconds?: number;
  readonly headers?: readonly string[];
  /** All connections are made before the first request is sent. */
  readonly barrier?: boolean;
  /** A connection for each request. */
  readonly close?: boolean;
  /** The first so many clients read at `slowBytesPerSecond` and are cut off when the others are done. */
  readonly slow?: number;
  readonly slowBytesPerSecond?: number;
  /** `ip netns exec NAME`. */
  readonly inside?: readonly string[];
}

/** An answer was wrong, short or late: the run says nothing about speed. */
export class VoidRunError extends Error {
  override readonly name = 'VoidRunError';
}

/** Compiles `load` and `sink` into `folder`, unless they are there and newer than their sources. @throws {Error} without `cc`. */
export async function buildGenerator(folder: string): Promise<Generator> {
  await mkdir(folder, {recursive: true});
  const sources: string[] = [];
  for await (const name of glob('*.{c,h}', {cwd: SOURCES})) sources.push(join(SOURCES, name));
  const [load, sink] = [join(folder, 'load'), join(folder, 'sink')];
  const isSink = (name: string): boolean => name.endsWith('sink.c');
  if (await isOlder(load, sources)) {
    await runCommand(['cc', ...FLAGS, '-o', load, ...sources.filter((name) => name.endsWith('.c') && !isSink(name))]);
    await runCommand(['cc', ...FLAGS, '-o', sink, ...sources.filter(isSink)]);
  }
  return new Generator(folder, load, sink);
}

async function isOlder(built: string, sources: readonly string[]): Promise<boolean> {
  const builtAt = await stat(built).then(
    (facts) => facts.mtimeMs,
    () => 0,
  );
  const changed = await Promise.all(sources.map(async (name) => (await stat(name)).mtimeMs));
  return Math.max(...changed) > builtAt;
}

/** The load generator, built. */
export class Generator {
  /** The cheapest sender there is: `sink PORT FILE`. */
  readonly sink: string;
  readonly #load: string;
  readonly #folder: string;
  #plans = 0;
  constructor(folder: string, load: string, sink: string) {
    this.#folder = folder;
    this.#load = load;
    this.sink = sink;
  }

  /** @throws {VoidRunError} unless every answer was right. */
  async run(options: LoadOptions): Promise<LoadReport> {
    const report = await this.tryRun(options);
    if (report.errors > 0) throw new VoidRunError(`${report.errors} wrong answers, the first: ${report.firstError}`);
    if (report.requests === 0) throw new VoidRunError('no answer at all');
    return report;
  }

  /** As `run`, with wrong answers only counted. */
  async tryRun(options: LoadOptions): Promise<LoadReport> {
    const timeoutMs = ((options.deadlineSeconds ?? 120) + 30) * 1000;
    const output = await runCommand(await this.#command(options), {timeoutMs});
    return JSON.parse(output) as LoadReport; // of our own program
  }

  /** Waits until the first step is answered right. @throws {Error} with the last wrong answer after `seconds`. */
  async wait(options: LoadOptions, seconds: number): Promise<void> {
    await runCommand([...(await this.#command(options)), '--wait', String(seconds)]);
  }

  async #command(options: LoadOptions): Promise<readonly string[]> {
    const plan = join(this.#folder, `plan-${this.#plans++ % 8}`);
    await writeFile(plan, options.steps.map(lineOf).join(''));
    const flag = (name: string, value: number | string | undefined): string[] =>
      value === undefined ? [] : [`--${name}`, String(value)];
    return [
      ...(options.inside ?? []),
      this.#load,
      ...flag('host', options.host),
      ...flag('port', options.port),
      ...flag('plan', plan),
      ...flag('period', PERIOD_BYTES),
      ...flag('clients', options.clients),
      ...flag('threads', options.threads),
      ...flag('order', options.order),
      ...flag('requests', options.requests),
      ...flag('seconds', options.seconds),
      ...flag('deadline', options.deadlineSeconds),
      ...flag('slow', options.slow),
      ...flag('slow-rate', options.slowBytesPerSecond),
      ...(options.headers ?? []).flatMap((header) => ['--header', header]),
      ...(options.barrier ? ['--barrier'] : []),
      ...(options.close ? ['--close'] : []),
    ];
  }
}

/** @see load/load.h `plan_read` */
function lineOf(step: Step | 'barrier'): string {
  if (step === 'barrier') return '=\n';
  const {method = 'GET', path, reference = '-', range} = step;
  const fields = [method, path, range ? 206 : 200, reference];
  return `${(range ? [...fields, range.join('-')] : fields).join('\t')}\n`;
}
