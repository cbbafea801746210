import {readFileSync} from 'node:fs';
import {performance} from 'node:perf_hooks';
import process from 'node:process';
import {Line} from './line.ts';
import {percentiles, type Percentiles} from './percentile.ts';

/** A client of the webhook in a process of its own: its argument is a `LoadPlan` as JSON, its output a `LoadResult`. */
export interface LoadPlan {
  readonly port: number;
  readonly ca: string;
  /** Path and body, asked in turn. */
  readonly reviews: readonly {readonly path: string; readonly body: string}[];
  /** All are made before anything is measured. */
  readonly connections: number;
  readonly seconds: number;
  /** The same load before, not measured: the API server keeps its connections, and a server that runs is warm. */
  readonly warmSeconds: number;
  /** So many begin each second, whether or not others have ended; `undefined`: each connection asks again at once. */
  readonly rate?: number;
}

export interface LoadResult extends Percentiles {
  readonly answered: number;
  /** Answered before, in the seconds that are not measured. */
  readonly warmed: number;
  readonly seconds: number;
  /** Anything but an answer that admits. */
  readonly errors: number;
  readonly firstError: string | undefined;
  /** Processor time of the client. */
  readonly clientCpuSeconds: number;
}

/** Asks the next review; when it is answered, what it took since `since` is noted. */
type AskNext = (line: Line, since: number) => Promise<void>;

if (import.meta.main) {
  const plan = JSON.parse(readFileSync(process.argv[2] ?? '', 'utf8')) as LoadPlan; // the bench wrote it
  const {port, ca, connections} = plan;
  const lines = await Promise.all(Array.from({length: connections}, () => Line.open(port, ca)));
  // Each has asked once: one that never asks is closed after a few seconds, as it should be.
  const first = Line.requestOf(plan.reviews[0]?.path ?? '', plan.reviews[0]?.body ?? '');
  await Promise.all(lines.map((line) => line.ask(first)));
  const {answered: warmed} = await load(plan, lines, plan.warmSeconds);
  const result: LoadResult = {...(await load(plan, lines, plan.seconds)), warmed};
  for (const line of lines) line.close();
  process.stdout.write(JSON.stringify(result));
}

async function load(
  {reviews, rate}: LoadPlan,
  lines: readonly Line[],
  seconds: number,
): Promise<Omit<LoadResult, 'warmed'>> {
  const requests = reviews.map(({path, body}) => Line.requestOf(path, body));
  const took: number[] = [];
  let [errors, next] = [0, 0];
  let firstError: string | undefined;
  const askNext: AskNext = async (line, since) => {
    const wrong = await line.ask(requests[next++ % requests.length] ?? Buffer.alloc(0));
    if (wrong !== undefined) {
      errors++;
      firstError ??= wrong;
    }
    took.push(performance.now() - since);
  };
  const [begun, cpu] = [performance.now(), process.cpuUsage()];
  const end = begun + seconds * 1000;
  await (rate === undefined ? atOnce(lines, end, askNext) : atRate(lines, {rate, begun, end}, askNext));
  const {user, system} = process.cpuUsage(cpu);
  const tookSeconds = (performance.now() - begun) / 1000;
  return {
    answered: took.length,
    seconds: tookSeconds,
    errors,
    firstError,
    clientCpuSeconds: (user + system) / 1e6,
    ...percentiles(took),
  };
}

async function atOnce(lines: readonly Line[], end: number, askNext: AskNext): Promise<void> {
  await Promise.all(
    lines.map(async (line) => {
      while (performance.now() < end) await askNext(line, performance.now());
    }),
  );
}

/** Timed from when each should have begun: what waits because the one before it was slow has waited. */
async function atRate(
  lines: readonly Line[],
  {rate, begun, end}: {readonly rate: number; readonly begun: number; readonly end: number},
  askNext: AskNext,
): Promise<void> {
  const free = [...lines];
  const waiting: number[] = [];
  const all: Promise<void>[] = [];
  const serve = async (line: Line, since: number): Promise<void> => {
    await askNext(line, since);
    const late = waiting.shift();
    if (late === undefined) free.push(line);
    else all.push(serve(line, late));
  };
  for (let begins = 0; ; await tick()) {
    const now = Math.min(performance.now(), end);
    for (let due = begun; (due = begun + (begins * 1000) / rate) <= now; begins++) {
      const line = free.pop();
      if (line === undefined) waiting.push(due);
      else all.push(serve(line, due));
    }
    if (now >= end) break;
  }
  for (let i = 0; i < all.length; i++) await all[i]; // what waited is added to the end meanwhile
}

function tick(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 1));
}
