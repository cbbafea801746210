import type {IncomingMessage, RequestListener, ServerResponse} from 'node:http';
import type {Log} from '../../proc/log.ts';
import type {ImageRecord} from '../store/contract.ts';
import type {ApiBackend} from './backend.ts';
import {ApiError, toApiError} from './error.ts';
import {needHosted, toHostedName, type Collected, type HostedBackend} from './hosted.ts';
import {readCollectQuery, readImagesQuery, readPull, readRefresh, toImage} from './input.ts';
import {answerPull} from './pull.ts';

const PREFIX = '/api/v1/';
/** At the same time: each has flights of its own, and the node's pods come first. */
const MAX_PULLS = 4;

/** One question: who asks leaves by `signal`. */
interface Call {
  readonly req: IncomingMessage;
  readonly res: ServerResponse;
  /** After the endpoint's name and its slash; decoded. */
  readonly rest: string;
  readonly query: string;
  readonly signal: AbortSignal;
}

/**
 * The agent's API for this machine's administrator, under /api/v1 of a unix socket that only the agent's user may
 * open. Answers are JSON, errors `{error: {message}}`. A caller that leaves stops what it asked for.
 */
export function newApi(backend: ApiBackend, log: Log): RequestListener {
  const pulls = {running: 0};
  /** Method and endpoint → what answers it. */
  const routes: Readonly<Record<string, (call: Call) => Promise<void>>> = {
    'GET images': (call) => answerImages(backend, call),
    'GET usage': async ({res}) =>
      answer(res, 200, {...(await backend.store.usage()), hosted: await backend.hosted?.usage()}),
    'DELETE images': (call) => answerRemove(backend, call),
    'GET hosted': (call) => answerHostedImages(backend, call),
    'DELETE hosted': async ({res, rest}) => answerHostedRemove(needHosted(backend.hosted), res, rest),
    'GET history': (call) => answerHistory(needHosted(backend.hosted), call),
    'POST gc': (call) => answerCollect(needHosted(backend.hosted), call),
    'POST refresh': (call) => answerRefresh(backend, call),
    'POST pull': ({req, res, signal}) =>
      limited(pulls, async () => {
        const wanted = await readPull(req);
        refuseHosted(backend, wanted.image.name.registry);
        await answerPull(backend, wanted, {res, signal, log});
      }),
  };
  return (req, res) => {
    const left = new AbortController();
    res.once('close', () => {
      if (!res.writableFinished) left.abort(new ApiError(499, 'The caller left'));
    });
    respond(routes, req, res, left.signal).catch((error: unknown) => {
      answerError(error, res, left.signal.aborted ? undefined : log);
    });
  };
}

async function respond(
  routes: Readonly<Record<string, (call: Call) => Promise<void>>>,
  req: IncomingMessage,
  res: ServerResponse,
  signal: AbortSignal,
): Promise<void> {
  const [path = '', query = ''] = (req.url ?? '').split('?', 2);
  if (!path.startsWith(PREFIX)) throw new ApiError(404, `There is only ${PREFIX}`);
  const [endpoint = '', ...rest] = path.slice(PREFIX.length).split('/');
  const key = `${req.method ?? ''} ${endpoint}`;
  const route = Object.hasOwn(routes, key) ? routes[key] : undefined;
  if (route === undefined) throw new ApiError(404, `There is no ${JSON.stringify(key.slice(0, 100))}`);
  await route({req, res, rest: decoded(rest.join('/')), query, signal});
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw new ApiError(400, 'The path is not well-formed');
  }
}

async function limited(counter: {running: number}, work: () => Promise<void>): Promise<void> {
  if (counter.running >= MAX_PULLS)
    throw new ApiError(503, `${String(MAX_PULLS)} pulls are running already: try again when one has ended`);
  counter.running++;
  try {
    await work();
  } finally {
    counter.running--;
  }
}

async function answerImages({store}: ApiBackend, {res, rest, query}: Call): Promise<void> {
  if (rest !== '') throw new ApiError(404, 'There is only the list');
  const page = readImagesQuery(query);
  const images = await store.images(page);
  const last = images.length < page.limit ? undefined : images.at(-1);
  answer(res, 200, {images, ...(last === undefined ? {} : {next: nameOf(last)})});
}

/** As the store orders them: a tag after a colon, a digest (which has a colon itself) after an at sign. */
function nameOf({registry, repository, reference}: ImageRecord): string {
  return `${registry}/${repository}${reference.includes(':') ? '@' : ':'}${reference}`;
}

async function answerHostedImages({hosted}: ApiBackend, {res, query}: Call): Promise<void> {
  const page = readImagesQuery(query);
  const images = (await hosted?.images(page)) ?? [];
  const last = images.length < page.limit ? undefined : images.at(-1);
  const next = last === undefined ? {} : {next: `${last.repository}:${last.tag}`};
  answer(res, 200, {host: hosted?.host(), images, ...next});
}

async function answerHistory(hosted: HostedBackend, {res, rest}: Call): Promise<void> {
  const {repository, tag, digest} = toHostedName(rest, hosted.host());
  if (digest !== undefined) throw new ApiError(400, 'A digest never changes: only tags have a history');
  const moves = await hosted.history(repository, tag ?? 'latest');
  if (moves.length === 0) throw new ApiError(404, `No such tag is or was hosted here: ${rest}`);
  answer(res, 200, {repository, tag: tag ?? 'latest', moves});
}

/** The room of what is removed first is freed at once. */
async function answerCollect(hosted: HostedBackend, {res, query}: Call): Promise<void> {
  const ask = readCollectQuery(query);
  const untagged = ask === undefined ? {} : {untagged: await hosted.removeUntagged(ask)};
  const nothing: Collected = {blobs: 0, uploads: 0, freedBytes: 0};
  answer(res, 200, {...(ask?.dryRun === true ? nothing : await hosted.collect()), ...untagged});
}

async function answerHostedRemove(hosted: HostedBackend, res: ServerResponse, text: string): Promise<void> {
  const {repository, tag, digest} = toHostedName(text, hosted.host());
  if (tag !== undefined && digest !== undefined) throw new ApiError(400, 'Say the tag or the digest, not both');
  answer(res, 200, await hosted.remove(repository, digest ?? tag ?? 'latest'));
}

async function answerRemove({store, hosted}: ApiBackend, {res, rest}: Call): Promise<void> {
  const {name, tag, digest} = toImage(rest);
  if (hosted !== undefined && name.registry === hosted.host()) return answerHostedRemove(hosted, res, rest);
  if (tag !== undefined && digest !== undefined) throw new ApiError(400, 'Say the tag or the digest, not both');
  const known =
    digest === undefined
      ? ((await store.tag(name, tag ?? '', 'anonymous')) ?? (await store.tag(name, tag ?? '', 'node'))) !== undefined
      : (await store.links(digest, name)).length > 0;
  if (!known) throw new ApiError(404, `Not in the cache: ${rest}`);
  answer(res, 200, {freedBytes: await store.removeImage(name, digest ?? tag ?? '')});
}

/** What is hosted here is here: asking for it would be asking ourselves. @throws {ApiError} 400 */
function refuseHosted({hosted}: ApiBackend, registry: string): void {
  if (hosted !== undefined && hosted.host() === registry)
    throw new ApiError(400, `${registry} is this agent's own registry: its images are here already`);
}

async function answerRefresh(backend: ApiBackend, {req, res, signal}: Call): Promise<void> {
  const {image} = await readRefresh(req);
  refuseHosted(backend, image.name.registry);
  const {before, after, mediaType} = await backend.refresh(image.name, image.tag, signal);
  answer(res, 200, {before, after, mediaType, changed: before !== after});
}

function answer(res: ServerResponse, status: number, body: object): void {
  res.writeHead(status, {'content-type': 'application/json'}).end(`${JSON.stringify(body)}\n`);
}

/** @param log `undefined` if the caller left: nothing is wrong then. */
function answerError(error: unknown, res: ServerResponse, log: Log | undefined): void {
  const known = toApiError(error);
  if (known.status === 500) log?.error('a question of the command line failed', {cause: known.cause});
  if (res.destroyed) return;
  if (res.headersSent) res.destroy();
  // The rest of a question that is too long is not read: the connection ends with the answer.
  else answer(res.setHeader('connection', 'close'), known.status, {error: {message: known.message}});
}
