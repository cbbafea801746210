import {readFileSync} from 'node:fs';
import {Agent, request} from 'node:https';
import {performance} from 'node:perf_hooks';
import process from 'node:process';
import {percentiles, type Percentiles} from './percentile.ts';

/** A client of the webhook in a process of its own: its argument is a `LoadPlan` as JSON, its output a `LoadResult`. */
export interface LoadPlan {
  readonly port: number;
  readonly ca: string;
  /** Path and body, asked in turn. */
  readonly reviews: readonly {readonly path: string; readonly body: string}[];
  readonly connections: number;
  readonly seconds: number;
  /** So many begin each second, whether or not others have ended; `undefined`: each connection asks again at once. */
  readonly rate?: number;
}

export interface LoadResult extends Percentiles {
  readonly answered: number;
  readonly seconds: number;
  /** Anything but an answer that admits. */
  readonly errors: number;
}

if (import.meta.main) {
  const plan = JSON.parse(readFileSync(process.argv[2] ?? '', 'utf8')) as LoadPlan; // the bench wrote it
  process.stdout.write(JSON.stringify(await run(plan)));
}

async function run(plan: LoadPlan): Promise<LoadResult> {
  const {connections, seconds, rate} = plan;
  const agent = new Agent({keepAlive: true, maxSockets: connections, scheduling: 'lifo'});
  const took: number[] = [];
  let [errors, next] = [0, 0];
  const begun = performance.now();
  const end = begun + seconds * 1000;
  const one = async (since: number): Promise<void> => {
    const review = plan.reviews[next++ % plan.reviews.length];
    if (review === undefined || !(await ask(plan, agent, review))) errors++;
    took.push(performance.now() - since);
  };
  if (rate === undefined) {
    const line = async (): Promise<void> => {
      while (performance.now() < end) await one(performance.now());
    };
    await Promise.all(Array.from({length: connections}, line));
  } else await atRate(rate, begun, end, one);
  const tookSeconds = (performance.now() - begun) / 1000;
  agent.destroy();
  return {answered: took.length, seconds: tookSeconds, errors, ...percentiles(took)};
}

/** Timed from when each should have begun: what waits because the one before it was slow has waited. */
async function atRate(rate: number, begun: number, end: number, one: (since: number) => Promise<void>): Promise<void> {
  const all: Promise<void>[] = [];
  await new Promise<void>((resolve) => {
    const timer = setInterval(() => {
      const now = performance.now();
      for (
        let due = begun + (all.length * 1000) / rate;
        due <= Math.min(now, end);
        due = begun + (all.length * 1000) / rate
      )
        all.push(one(due));
      if (now < end) return;
      clearInterval(timer);
      resolve();
    }, 1);
  });
  await Promise.all(all);
}

function ask(
  {port, ca}: LoadPlan,
  agent: Agent,
  {path, body}: {readonly path: string; readonly body: string},
): Promise<boolean> {
  return new Promise((resolve) => {
    const headers = {'content-type': 'application/json', 'content-length': Buffer.byteLength(body)};
    request({host: '127.0.0.1', port, path: `${path}?timeout=10s`, method: 'POST', agent, ca, headers}, (res) => {
      let text = '';
      res.setEncoding('utf8');
      res.on('data', (part: string) => (text += part));
      res.on('end', () => resolve(res.statusCode === 200 && text.includes('"allowed":true')));
    })
      .on('error', () => resolve(false))
      .end(body);
  });
}
