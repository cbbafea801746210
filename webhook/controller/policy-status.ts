import {setTimeout as delay} from 'node:timers/promises';
import type {KubeClient} from '../../kube/client.ts';
import {isConflict, isNotFound, KubeError} from '../../kube/error.ts';
import type {KubeLog} from '../../kube/log.ts';
import {keyOf} from '../../kube/object.ts';
import type {Compiled} from '../policy/compile.ts';
import {parseTime} from '../policy/read-object.ts';
import type {PolicyProblem} from '../policy/shape.ts';
import {SWITCH, type Switch} from './arming.ts';
import {POLICY_TYPES, type Condition, type PolicyApiObject, type PolicyWatch} from './policy-watch.ts';
import type {Wakeup} from './wakeup.ts';

const EVERY_MS = 60_000;
const RETRY_MS = 2_000;
const MAX_MESSAGE = 1_024;
const MAX_ISSUES = 5;

export interface PolicyStatusOptions {
  readonly client: KubeClient;
  readonly policies: PolicyWatch;
  readonly log: KubeLog;
  readonly nowMs: () => number;
  /** `off`: nobody asks us about pods. */
  readonly switch: () => Switch;
}

/**
 * The leader's part: says in the status of each policy whether it is judged by (`Ready`), and of each exception whether it
 * has an effect (`Active`), to the second that it ends.
 */
export async function keepPolicyStatus(
  {client, policies, log, nowMs, switch: switchNow}: PolicyStatusOptions,
  wakeup: Wakeup,
  signal: AbortSignal,
): Promise<void> {
  let isFailing = false;
  wakeup.wake();
  let waitMs = EVERY_MS;
  while (!signal.aborted) {
    await wakeup.within(waitMs, signal);
    const {compiled} = policies;
    if (signal.aborted || compiled === undefined) continue;
    try {
      const names = namesOf(policies.objects());
      const isOff = ({kind}: PolicyApiObject): boolean => kind !== 'ImagePolicyException' && switchNow() === 'off';
      await writeAll(policies.objects(), (object) =>
        write(client, object, isOff(object) ? OFF : wantedFor(object, names, compiled, nowMs()), {signal, nowMs}),
      );
      isFailing = false;
      waitMs = untilNextEnd(policies.objects(), nowMs());
    } catch (error) {
      if (signal.aborted) return;
      if (!isFailing)
        log.warn('the status of policies cannot be written, which is tried again', {reason: (error as Error).message});
      isFailing = true;
      waitMs = EVERY_MS;
      await delay(RETRY_MS, undefined, {signal}).catch(() => undefined);
      wakeup.wake();
    }
  }
}

/** One that the API server does not take, because something else in it is wrong, does not stand in the way of the others. */
async function writeAll(
  objects: readonly PolicyApiObject[],
  writeOne: (object: PolicyApiObject) => Promise<void>,
): Promise<void> {
  let failure: Error | undefined;
  for (const object of objects) {
    try {
      await writeOne(object);
    } catch (error) {
      if (!(error instanceof KubeError) || error.reason !== 'Invalid') throw error;
      failure ??= new Error(`${object.kind ?? ''} ${object.metadata.name ?? ''}: ${error.message}`, {cause: error});
    }
  }
  if (failure) throw failure;
}

/** What there is to say of an object. */
type Said = Pick<Condition, 'type' | 'status' | 'reason' | 'message'>;

const OFF: Said = {
  type: 'Ready',
  status: 'False',
  reason: 'SwitchedOff',
  message: `No pod is judged: our namespace is annotated ${SWITCH}=off`,
};

function wantedFor(
  object: PolicyApiObject,
  policyNames: ReadonlySet<string>,
  {problems}: Compiled,
  nowMs: number,
): Said {
  const {kind = ''} = object;
  const name = keyOf(object);
  const problem = problems.find((one) => one.kind === kind && one.name === name);
  if (kind !== 'ImagePolicyException') {
    if (problem !== undefined)
      return {type: 'Ready', status: 'False', reason: 'Invalid', message: `No image is accepted: ${textOf(problem)}`};
    return {type: 'Ready', status: 'True', reason: 'InEffect', message: 'Pods are judged by this policy'};
  }
  if (problem !== undefined)
    return {type: 'Active', status: 'False', reason: 'Invalid', message: `It has no effect: ${textOf(problem)}`};
  const ends = endOf(object);
  if (ends !== undefined && ends <= nowMs)
    return {type: 'Active', status: 'False', reason: 'Expired', message: 'It has expired and has no effect any more'};
  const named = (object.spec as {policies?: readonly string[]} | undefined)?.policies ?? [];
  const absent = named
    .filter((policy) => !policyNames.has(policy))
    .join(', ')
    .slice(0, MAX_MESSAGE - 100);
  if (named.every((policy) => !policyNames.has(policy)))
    return {type: 'Active', status: 'False', reason: 'NoSuchPolicy', message: `There is no policy ${absent}`};
  const message = `It lifts the images that it names${absent === '' ? '' : `; but there is no policy ${absent}`}`;
  return {type: 'Active', status: 'True', reason: 'InEffect', message};
}

/** Of policies, as exceptions name them. */
function namesOf(objects: readonly PolicyApiObject[]): ReadonlySet<string> {
  return new Set(objects.filter(({kind}) => kind !== 'ImagePolicyException').map(keyOf));
}

function textOf({issues}: PolicyProblem): string {
  const lines = issues.slice(0, MAX_ISSUES).map(({path, message}) => `${path}: ${message}`);
  return lines.join('; ').slice(0, MAX_MESSAGE - 100);
}

function endOf({spec}: PolicyApiObject): number | undefined {
  const expires = (spec as {expires?: unknown} | undefined)?.expires;
  return typeof expires === 'string' ? parseTime(expires) : undefined;
}

function untilNextEnd(objects: readonly PolicyApiObject[], nowMs: number): number {
  const ends = objects
    .filter(({kind}) => kind === 'ImagePolicyException')
    .map(endOf)
    .filter((end) => end !== undefined && end > nowMs) as number[];
  return Math.max(0, Math.min(EVERY_MS, ...ends.map((end) => end - nowMs)));
}

async function write(
  client: KubeClient,
  object: PolicyApiObject,
  said: Said,
  {signal, nowMs}: {readonly signal: AbortSignal; readonly nowMs: () => number},
): Promise<void> {
  const {metadata, status, kind} = object;
  const observedGeneration = metadata.generation ?? 0;
  const before = status?.conditions?.find(({type}) => type === said.type);
  const isSame =
    before !== undefined &&
    before.status === said.status &&
    before.reason === said.reason &&
    before.message === said.message &&
    status?.observedGeneration === observedGeneration;
  if (isSame) return;
  signal.throwIfAborted();
  const lastTransitionTime =
    before?.status === said.status ? before.lastTransitionTime : `${new Date(nowMs()).toISOString().slice(0, 19)}Z`;
  const others = (status?.conditions ?? []).filter(({type}) => type !== said.type);
  const conditions = [...others, {...said, observedGeneration, lastTransitionTime}];
  const type = POLICY_TYPES.find((one) => one.kind === kind);
  if (type === undefined) return;
  const place = {namespace: metadata.namespace, name: metadata.name ?? '', subresource: 'status'};
  // For the version that was read: what was said of an older one is not written over a newer one.
  const merge = {metadata: {resourceVersion: metadata.resourceVersion}, status: {observedGeneration, conditions}};
  try {
    await client.patch(type, place, {merge}, {signal, deadlineMs: 5_000});
  } catch (error) {
    if (!isConflict(error) && !isNotFound(error)) throw error; // the watch brings what it is now
  }
}
