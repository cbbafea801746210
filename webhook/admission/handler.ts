import type {IncomingMessage, RequestListener, ServerResponse} from 'node:http';
import {orAborted, withDeadline} from '../../oci/deadline.ts';
import {answerReview, refuse} from './answer.ts';
import {BodyError, MAX_BODY, readJson} from './body.ts';
import type {ReviewContext} from './context.ts';
import {newDecisionId} from './decision-id.ts';
import {allow, type Decision} from './decision.ts';
import {early} from './early.ts';
import type {Load, ShedReason} from './load.ts';
import {mutate} from './mutate.ts';
import {ADMISSION_PATHS, type Pass} from './paths.ts';
import {policies} from './policies.ts';
import {readReview, type AdmissionRequest} from './review.ts';
import {validate} from './validate.ts';

/** An answer has to be back before the API server gives up; it says when that is. */
const RESERVE_MS = 500;
/** Whatever it says, nothing takes longer. */
const LONGEST_MS = 8_500;
const DEFAULT_TIMEOUT_S = 10;
/** Of the reserve, for a decision by what is known. */
const LAST_MS = 200;

/** What a review needs, but for what is its own. */
export type SharedContext = Omit<ReviewContext, 'id' | 'signal'>;

export interface HandlerParts {
  readonly load: Load;
  /** @returns why nothing can be decided yet. */
  readonly context: () => SharedContext | {readonly notReady: string};
  /** A review was answered. */
  readonly told: (told: Told) => void;
  /** One was not taken on. */
  readonly shed: (reason: ShedReason) => void;
  /** A bug; the caller is told without its text. */
  readonly failed: (pass: Pass, error: unknown) => void;
}

export interface Told {
  readonly id: string;
  readonly request: AdmissionRequest;
  readonly decision: Decision;
  readonly ms: number;
}

const PASSES = new Map(Object.entries(ADMISSION_PATHS).map(([pass, path]) => [path as string, pass as Pass]));

/** Answers the API server's reviews, each within its time. */
export function newReviewHandler(parts: HandlerParts): RequestListener {
  return (req, res) => void handle(parts, req, res);
}

async function handle(parts: HandlerParts, req: IncomingMessage, res: ServerResponse): Promise<void> {
  const arrived = performance.now();
  const [path = '', query = ''] = (req.url ?? '').split('?', 2);
  const pass = PASSES.get(path);
  if (pass === undefined) return refuse(res, 404, `Here are ${[...PASSES.keys()].join(', ')}`);
  if (req.method !== 'POST') return refuse(res, 405, 'Expected POST', {allow: 'POST'});
  const leave = parts.load.enter(lengthOf(req));
  if (typeof leave === 'string') {
    parts.shed(leave);
    return refuse(res, 503, 'noost has too much to do and does not take on this review; try again', {
      'retry-after': '1',
    });
  }
  try {
    await review(parts, pass, {req, res, arrived, query});
  } catch (error) {
    fail(parts, pass, res, error);
  } finally {
    leave();
  }
}

/** As it is announced; as much as there may be, where it is not. */
function lengthOf({headers}: IncomingMessage): number {
  const length = Number(headers['content-length'] ?? MAX_BODY);
  return Number.isFinite(length) ? length : MAX_BODY;
}

interface Exchange {
  readonly req: IncomingMessage;
  readonly res: ServerResponse;
  readonly arrived: number;
  readonly query: string;
}

async function review(parts: HandlerParts, pass: Pass, {req, res, arrived, query}: Exchange): Promise<void> {
  const request = readReview(await readJson(req));
  const shared = parts.context();
  if ('notReady' in shared) return refuse(res, 503, `noost is not ready: ${shared.notReady}`, {'retry-after': '1'});
  shared.phase('read', performance.now() - arrived);
  const id = newDecisionId();
  const leftMs = Math.max(1, budgetMs(query) - (performance.now() - arrived));
  const decision = await inTime(pass, request, {...shared, id}, leftMs);
  const answered = performance.now();
  answerReview(res, request, decision, id);
  shared.phase('answer', performance.now() - answered);
  parts.told({id, request, decision, ms: performance.now() - arrived});
}

/** `?timeout=5s`, as the API server says it. */
function budgetMs(query: string): number {
  const [, seconds] = /(?:^|&)timeout=(\d{1,3})s(?:&|$)/.exec(query) ?? [];
  const timeoutMs = Number(seconds ?? DEFAULT_TIMEOUT_S) * 1000;
  return Math.min(LONGEST_MS, Math.max(timeoutMs - RESERVE_MS, timeoutMs / 2));
}

async function inTime(
  pass: Pass,
  request: AdmissionRequest,
  shared: Omit<ReviewContext, 'signal'>,
  ms: number,
): Promise<Decision> {
  if (pass === 'policies') return policies(request, shared);
  try {
    return await withDeadline(ms, undefined, (signal) => decided(decide(pass, request, {...shared, signal}), signal));
  } catch (error) {
    if (error instanceof TypeError && isOfObject(error)) return unreadable(pass, error, shared.id);
    if (!(error instanceof Error) || error.name !== 'TimeoutError') throw error;
    return outOfTime(pass, shared);
  }
}

/** When time is up, questions to registries end, and what is known by then is the decision. */
async function decided(decision: Promise<Decision>, signal: AbortSignal): Promise<Decision> {
  try {
    return await orAborted(decision, signal);
  } catch (error) {
    if (!signal.aborted) throw error;
    return withDeadline(LAST_MS, undefined, (last) => orAborted(decision, last));
  }
}

function decide(pass: Exclude<Pass, 'policies'>, request: AdmissionRequest, context: ReviewContext): Promise<Decision> {
  const {operation} = request;
  if (operation !== 'CREATE' && operation !== 'UPDATE') return Promise.resolve(allow(pass, 'unchanged'));
  switch (pass) {
    case 'mutate':
      return mutate(request, context);
    case 'validate':
      return validate(request, context);
    case 'early':
      return early(request, context);
  }
}

/** `podOf` and `imagesOf` name the field; an engine's own TypeError is a bug. */
function isOfObject({message}: TypeError): boolean {
  return /^[\w.[\]-]+: expected /.test(message);
}

function unreadable(pass: Pass, {message}: TypeError, id: string): Decision {
  const told = `noost cannot read the images of this object: ${message} (decision ${id})`;
  if (pass !== 'validate') return allow(pass, 'unreadable', {warnings: [told.slice(0, 256)]});
  return {...allow(pass, 'unreadable'), allowed: false, code: 400, message: told};
}

/** What the failure policy makes of our own lateness, said in words rather than by the API server's timeout. */
function outOfTime(pass: Pass, {failurePolicy, id}: Pick<ReviewContext, 'failurePolicy' | 'id'>): Decision {
  const what = 'noost could not judge the images in time';
  if (pass !== 'validate' || failurePolicy === 'Ignore')
    return allow(pass, 'out-of-time', {warnings: pass === 'early' ? [] : [what]});
  const message = `${what}, and failurePolicy is Fail; try again (decision ${id})`;
  return {...allow(pass, 'out-of-time'), allowed: false, code: 504, message};
}

function fail(parts: HandlerParts, pass: Pass, res: ServerResponse, error: unknown): void {
  if (error instanceof BodyError) return refuse(res, error.status, error.message, {connection: 'close'});
  if (error instanceof SyntaxError) return refuse(res, 400, `Expected an AdmissionReview: ${error.message}`);
  if (res.destroyed || (error as NodeJS.ErrnoException).code === 'ECONNRESET') return; // the caller left
  parts.failed(pass, error);
  refuse(res, 500, 'noost failed to decide; its log says why');
}
