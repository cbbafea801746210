import type {IncomingMessage, ServerResponse} from 'node:http';
import {LRUCache} from 'lru-cache';
import {OciError, UpstreamError} from '../../oci/error.ts';
import {parseRequest, type OciRequest, type Pull} from '../../oci/request.ts';
import {callerAt, type Action, type RuntimeDoor} from '../access/caller.ts';
import {takeSecret} from '../access/secret-path.ts';
import {answerFor} from '../pull/failure.ts';
import type {Puller} from '../pull/puller.ts';
import {API_VERSION, type Asked, type HostedForRuntimes, type RegistryParts} from './asked.ts';
import {toHostedRequest} from '../hosted/ours.ts';
import {hostedSubject} from './described.ts';
import {answerBlob} from './blob.ts';
import {Exchange, Subject} from './exchange.ts';
import {answerManifest, answerWarmManifest} from './manifest.ts';
import {answerPage} from './page.ts';
import {answerError} from './failed.ts';
import {ClientGone} from './transfer.ts';

const PARSED_MAX = 4_096;
const PARSED_KEY_MAX = 512;
/** Where a request's hops stand: an agent that meets its own id answers at once instead of asking itself. */
export const HOP_HEADER = 'noost-hop';

/** The runtime door: GET and HEAD of the distribution API, without a challenge ever (P-15, P-16). */
export function newRegistry(
  parts: RegistryParts,
  door: () => RuntimeDoor,
): (req: IncomingMessage, res: ServerResponse) => void {
  const parsed = new LRUCache<string, OciRequest>({max: PARSED_MAX});
  const parse = (target: string): OciRequest | undefined => {
    const known = parsed.get(target);
    if (known !== undefined) return known;
    const request = parseRequest(target, {defaultRegistry: parts.defaultRegistry()});
    if (request !== undefined && target.length <= PARSED_KEY_MAX) parsed.set(target, request);
    return request;
  };
  return (req, res) => {
    const exchange = new Exchange(req, res);
    res.on('close', () => {
      exchange.finish(parts.metrics, parts.log);
    });
    try {
      const {target, secret} = takeSecret(req.url ?? '');
      const request = check(parse, {req, target}, parts.hop);
      if (request.kind === 'ping') return answerPing(res, exchange);
      const caller = callerAt(door(), req.headers, secret);
      if (request.name.registry === parts.hosted?.host())
        return void answerHosted(parts, parts.hosted, {req, res, pull: request, caller, exchange});
      exchange.subject = subjectOf(request, parts.puller);
      answerPull(parts, {req, res, pull: request, caller, exchange});
    } catch (error) {
      answerError(error, {req, res, exchange}, parts.log);
    }
  };
}

function check(
  parse: (target: string) => OciRequest | undefined,
  {req, target}: {readonly req: IncomingMessage; readonly target: string},
  hop: string,
): OciRequest {
  // First, so that who pushes is told this and not that there is no such endpoint.
  if (req.method !== 'GET' && req.method !== 'HEAD')
    throw new OciError('UNSUPPORTED', 'Images of upstreams are read-only here: push to the registry itself');
  const request = parse(target);
  if (request === undefined) throw new OciError('NAME_UNKNOWN', 'No such endpoint of the distribution API');
  refuseLoop(req, hop);
  return request;
}

/** @throws {OciError} if the request came from this agent (D-015). */
export function refuseLoop(req: IncomingMessage, hop: string): void {
  const hops = req.headers[HOP_HEADER];
  if (hops === undefined) return;
  const isOurs = String(hops)
    .split(',')
    .some((id) => id.trim() === hop);
  if (isOurs) throw new OciError('NAME_UNKNOWN', 'This request came from this very agent: the upstream resolves to it');
}

/**
 * What is hosted here, to this node's runtime, as if it were any private registry that the node has credentials for. To
 * others only where a direct listener gives it to anybody; they are told 404, so that they ask the registry itself (§4.2).
 */
async function answerHosted(
  {log}: RegistryParts,
  hosted: HostedForRuntimes,
  {pull, caller, ...asked}: Omit<Asked, 'signal'>,
): Promise<void> {
  try {
    const request = toHostedRequest(pull);
    asked.exchange.subject = hostedSubject(request);
    const may = hosted.isPublic() ? (action: Action) => action === 'pull' : caller.may;
    if (!may('pull', pull.name.repository))
      throw new OciError('NAME_UNKNOWN', 'Hosted images are given to who proves to be the runtime of this node');
    await hosted.answer({...asked, request, caller: {...caller, may}});
  } catch (error) {
    answerError(error, asked, log);
  }
}

/** Answers from memory at once, or from elsewhere in time. */
export function answerPull(parts: RegistryParts, asked: Omit<Asked, 'signal'>): void {
  if (!answerWarmManifest(parts, asked)) void answer(parts, asked);
}

const PING = new Subject('ping');
const subjects = new WeakMap<Pull, Subject>();

/** Kept by the parsed request; a reload may have given its upstream another name. */
export function subjectOf(pull: Pull, puller: Puller): Subject {
  const upstream = puller.label(pull.name);
  const known = subjects.get(pull);
  if (known?.upstream === upstream) return known;
  const reference = pull.kind === 'tag' ? pull.tag : 'digest' in pull ? pull.digest : undefined;
  const subject = new Subject(pull.kind, upstream, `${pull.name.registry}/${pull.name.repository}`, reference);
  subjects.set(pull, subject);
  return subject;
}

async function answer(parts: RegistryParts, asked: Omit<Asked, 'signal'>): Promise<void> {
  const {res, pull} = asked;
  const left = new AbortController();
  res.once('close', () => {
    left.abort(new ClientGone('The client left'));
  });
  const full = {...asked, signal: left.signal};
  try {
    switch (pull.kind) {
      case 'blob':
        await answerBlob(parts, {...full, pull});
        break;
      case 'manifest':
      case 'tag':
        await answerManifest(parts, {...full, pull});
        break;
      case 'tags':
      case 'referrers':
        await answerPage(parts, {...full, pull});
        break;
    }
  } catch (error) {
    if (error instanceof UpstreamError && error.failure === 'unauthorized')
      parts.metrics.withoutCredentials.inc({upstream: asked.exchange.subject.upstream});
    answerError(
      answerFor(error, pull.kind === 'blob' ? 'blob' : pull.kind === 'tags' ? 'name' : 'manifest', pull.name.registry),
      asked,
      parts.log,
    );
  }
}

export function answerPing(res: ServerResponse, exchange: Exchange): void {
  exchange.subject = PING;
  exchange.result = 'hit';
  res.writeHead(200, {...API_VERSION, 'content-type': 'application/json', 'content-length': 2}).end('{}');
}
