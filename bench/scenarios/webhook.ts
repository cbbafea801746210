import {writeFile} from 'node:fs/promises';
import {join} from 'node:path';
import process from 'node:process';
import type {KubeObject} from '../../kube/object.ts';
import {PODS, SECRETS} from '../../kube/resources.ts';
import {poll} from '../../test/poll.ts';
import {WebhookCluster} from '../../test/webhook-cluster.ts';
import {ADMISSION_PATHS} from '../../webhook/admission/paths.ts';
import type {Context} from '../context.ts';
import {boundGoal, limitGoal} from '../goal.ts';
import {inProcess} from '../reviews/in-process.ts';
import type {LoadPlan, LoadResult} from '../reviews/load.ts';
import {percentiles} from '../reviews/percentile.ts';
import {manyPolicies} from '../reviews/policies.ts';
import {IMAGES, newPod, newReview} from '../reviews/review.ts';
import {runCommand} from '../run-command.ts';
import type {Scenario} from '../scenario.ts';
import {forgetPeak, readUsage} from '../usage.ts';

const MIB = 1024 ** 2;
const MANY = 200;
const VERY_MANY = {full: 10_000, quick: 2000};
const RATE = 1000;
const SECONDS = {full: 10, quick: 3};
const PODS_A_ROUND = {full: 300, quick: 60};
const NAMESPACE = 'bench';
/** Of the webhook itself: the API server asks nobody about its pods. */
const UNASKED = 'noost-system';

const STEADY = `1,000 reviews/s, ${String(MANY)} policies and exceptions`;
const MOST = 'as many as it takes, 64 connections';
const INSIDE = `in process, ${String(MANY)} policies and exceptions`;
const INSIDE_MANY = 'in process, very many policies and exceptions';
const CREATED = 'a pod is created';

/** What it costs that every pod is asked about. */
export const webhook: Scenario = {
  name: 'webhook',
  title: `Reviews of pods with three containers, half of them mutating, tags known; and pods made through a real API server, in a namespace that is asked about (noost) and one that is not (unasked). Very many: 10,000 each (quick: 2,000)`,
  goals: [
    limitGoal({of: STEADY, metric: 'p99', atMost: 10}),
    limitGoal({of: STEADY, metric: 'memory', atMost: 200}),
    limitGoal({of: STEADY, metric: 'errors', atMost: 0}),
    limitGoal({of: MOST, metric: 'requestRate', atLeast: 3000}),
    limitGoal({of: INSIDE, metric: 'p99', atMost: 2}),
    boundGoal({
      of: CREATED,
      text: (bound) => `${bound} ms p50 more than unasked`,
      value: (median) => {
        const [asked, unasked] = ['noost', 'unasked'].map((contestant) =>
          median({of: CREATED, contestant, metric: 'p50'}),
        );
        return asked === undefined || unasked === undefined ? undefined : asked - unasked;
      },
      unit: ' ms',
      atMost: 15,
    }),
  ],
  async run(context) {
    await context.alternate(INSIDE, ['noost'], async () =>
      context.results.add(INSIDE, 'noost', await inProcess(manyPolicies(MANY), context.quick ? 500 : 3000)),
    );
    await context.alternate(INSIDE_MANY, ['noost'], async () =>
      context.results.add(INSIDE_MANY, 'noost', await inProcess(manyPolicies(sizeOf(VERY_MANY, context)), 20)),
    );
    await using on = await prepared(context);
    const plan = await planFor(on);
    await context.alternate(STEADY, ['noost'], () =>
      loaded(context, STEADY, on, {...plan, rate: RATE, seconds: sizeOf(SECONDS, context)}),
    );
    await context.alternate(MOST, ['noost'], () =>
      loaded(context, MOST, on, {...plan, seconds: sizeOf(SECONDS, context)}),
    );
    await context.alternate(CREATED, ['noost', 'unasked'], (name) => create(context, on, name));
  },
};

function sizeOf(size: {readonly full: number; readonly quick: number}, {quick}: Context): number {
  return quick ? size.quick : size.full;
}

/** A cluster with the policies, all in effect, and the tags known. */
async function prepared({say}: Context): Promise<WebhookCluster> {
  say('starting an API server');
  const on = await WebhookCluster.start();
  for (const i of IMAGES.keys()) on.registry.content.addImage(`acme/app-${String(i)}`, 'v1');
  const all = manyPolicies(MANY).map((object) => JSON.stringify(object));
  say(`making ${String(all.length)} policies and exceptions`);
  await on.kubernetes.kubectl(['create', '-f', '-'], all.join('\n---\n'));
  await on.namespace(NAMESPACE);
  await poll('all policies are in effect', async () => (await on.webhook.counter('noost_policies')) === MANY, 60_000);
  return on;
}

async function planFor(on: WebhookCluster): Promise<Omit<LoadPlan, 'rate' | 'seconds'>> {
  const secret = await on.client.get<KubeObject & {data: Record<string, string>}>(SECRETS, {
    namespace: UNASKED,
    name: 'noost-webhook-tls',
  });
  const ca = Buffer.from(secret.data['ca.crt'] ?? '', 'base64').toString('utf8');
  const body = newReview(newPod(IMAGES), NAMESPACE);
  const reviews = [ADMISSION_PATHS.mutate, ADMISSION_PATHS.validate].map((path) => ({path, body}));
  return {port: on.webhook.port, ca, reviews, connections: 64, warmSeconds: 2};
}

async function loaded(context: Context, of: string, {webhook: {child}}: WebhookCluster, plan: LoadPlan): Promise<void> {
  const file = join(await context.folder('webhook'), 'plan.json');
  await writeFile(file, JSON.stringify(plan));
  const script = join(import.meta.dirname, '../reviews/load.ts');
  const run = async (): Promise<LoadResult> =>
    JSON.parse(await runCommand([process.execPath, script, file])) as LoadResult;
  forgetPeak(child.pid);
  const before = readUsage(child.pid);
  const {answered, warmed, seconds, errors, firstError, p50, p99, p999, clientCpuSeconds} = await run();
  const after = readUsage(child.pid);
  if (firstError !== undefined) context.say(`a review was not admitted: ${firstError}`);
  context.results.add(of, 'noost', {
    requestRate: answered / seconds,
    p50,
    p99,
    p999,
    errors,
    memory: after.residentBytes / MIB,
    peakMemory: after.peakBytes / MIB,
    cpuPerReview: ((after.cpuSeconds - before.cpuSeconds) / (answered + warmed)) * 1e6,
    clientCpuPerReview: (clientCpuSeconds / answered) * 1e6,
  });
}

/** One after the other, as `kubectl` does it: what a person or a controller waits. */
async function create(context: Context, on: WebhookCluster, name: string): Promise<void> {
  const namespace = name === 'noost' ? NAMESPACE : UNASKED;
  const took: number[] = [];
  for (let i = 0; i < sizeOf(PODS_A_ROUND, context); i++) {
    const from = performance.now();
    await on.create(namespace, newPod(IMAGES, {generateName: 'p-'}));
    took.push(performance.now() - from);
  }
  const {p50, p99} = percentiles(took);
  context.results.add(CREATED, name, {p50, p99});
  await on.client.delete(PODS, {namespace}, {gracePeriodSeconds: 0});
}
