import type {IncomingMessage, OutgoingHttpHeaders, RequestListener, ServerResponse} from 'node:http';
import {OciError} from '../../oci/error.ts';
import type {HostedRequest} from '../../oci/hosted-request.ts';
import {splitTarget, type Pull} from '../../oci/request.ts';
import {NarrowTokenError} from '../access/caller.ts';
import {BASIC, challenges, TOKEN_PATH} from '../access/challenge.ts';
import {allows, callerFor, DoorError, identify, mayList, type DirectAccess, type Visitor} from '../access/direct.ts';
import {CATALOG_SCOPE, repositoryScope, type Grant} from '../access/scope.ts';
import {giveToken} from '../access/token-endpoint.ts';
import type {HostedHandler} from '../hosted/http/asked.ts';
import {neededFor} from '../hosted/needed.ts';
import {routeDirect, type OurNames, type Route} from '../hosted/ours.ts';
import type {LoginOutcome, Metrics} from '../metrics.ts';
import type {RegistryParts} from './asked.ts';
import {writeAudit} from './audit.ts';
import {hostedSubject} from './described.ts';
import {Exchange, Subject} from './exchange.ts';
import {continueWhenRead} from './expect.ts';
import {answerError} from './failed.ts';
import {answerPing, answerPull, refuseLoop, subjectOf} from './registry.ts';

/** What a direct door answers with. */
export interface DirectParts extends RegistryParts {
  readonly metrics: Metrics;
  readonly answerHosted: HostedHandler;
  ourNames(): OurNames;
  /** Who may what, as it is now. */
  access(): DirectAccess;
}

/** One request on its way through the door, and what has been found out about it. */
interface Passing {
  readonly req: IncomingMessage;
  readonly res: ServerResponse;
  readonly exchange: Exchange;
  readonly access: DirectAccess;
  request: HostedRequest | undefined;
}

/** A request that may not pass as it came: 401, and what to come back with. */
class Unnamed extends Error {
  readonly scopes: readonly Grant[];
  readonly error: 'insufficient_scope' | undefined;
  constructor(scopes: readonly Grant[], error?: 'insufficient_scope') {
    super(error === undefined ? 'Say who you are' : 'The token is not for this');
    this.scopes = scopes;
    this.error = error;
  }
}

/** The direct door: people, CI and other machines say who they are, push, pull and delete (design §8). */
export function newDirectDoor(parts: DirectParts): RequestListener {
  return (req, res) => {
    continueWhenRead(req, res);
    const exchange = new Exchange(req, res);
    const passing: Passing = {req, res, exchange, access: parts.access(), request: undefined};
    res.once('close', () => {
      exchange.finish(parts.metrics, parts.log);
      writeAudit(parts.log, passing);
    });
    pass(parts, passing).catch((error: unknown) => {
      answerRefusal(parts, passing, error);
    });
  };
}

async function pass(parts: DirectParts, passing: Passing): Promise<void> {
  const {req, res, exchange, access} = passing;
  if (splitTarget(req.url ?? '').path === TOKEN_PATH) return answerToken(parts, passing);
  const route = routed(parts, passing); // first, so that a refusal can say what was asked
  const visitor = await identify(access, req);
  exchange.identity = visitor.user;
  if (visitor.user !== undefined) parts.metrics.logins.inc({outcome: 'right'});
  if (route instanceof Error) {
    // Who may not be here at all learns nothing about what there is.
    throw visitor.user === undefined && access.anonymous === 'none' ? new Unnamed([]) : route;
  }
  if (route.to === 'upstream') {
    exchange.subject = subjectOf(route.pull, parts.puller);
    if (visitor.user === undefined) checkAnonymous(access, route.pull, exchange.subject.upstream);
    return answerPull(parts, {req, res, pull: route.pull, caller: callerFor(access, visitor), exchange});
  }
  const {request} = route;
  if (request.kind === 'ping') {
    // Not even where anybody may pull: what makes clients log in is the challenge to this.
    if (visitor.user === undefined && visitor.grants === undefined) throw new Unnamed([]);
    if (req.method !== 'GET' && req.method !== 'HEAD') throw new OciError('UNSUPPORTED', 'There is only GET and HEAD');
    return answerPing(res, exchange);
  }
  check(access, visitor, req.method ?? '', request);
  // A token for the list is for all of it, and for this request.
  const seen = request.kind === 'catalog' ? {...visitor, grants: undefined} : visitor;
  try {
    await parts.answerHosted({req, res, request, caller: callerFor(access, seen), exchange});
  } catch (error) {
    if (!(error instanceof NarrowTokenError)) throw error;
    const scopes = [...scopesFor(req.method ?? '', request), repositoryScope(error.repository, 'pull')];
    throw new Unnamed(scopes, 'insufficient_scope');
  }
}

/** @returns the error of a request that leads nowhere: who asks has to be known before it is told. */
function routed(parts: DirectParts, passing: Passing): Route | Error {
  const {req, exchange} = passing;
  try {
    refuseLoop(req, parts.hop);
    const names = {names: parts.ourNames(), defaultRegistry: parts.defaultRegistry()};
    const route = routeDirect(req.method ?? '', req.url ?? '', names);
    if (route.to === 'upstream') exchange.subject = subjectOf(route.pull, parts.puller);
    else exchange.subject = hostedSubject((passing.request = route.request));
    return route;
  } catch (error) {
    return error as Error; // nothing else is thrown anywhere
  }
}

/** @throws {Unnamed} where other credentials may help. @throws {OciError} DENIED where none will. */
function check(access: DirectAccess, visitor: Visitor, method: string, request: HostedRequest): void {
  if (request.kind === 'catalog') {
    if (mayList(visitor)) return;
    throw new Unnamed(scopesFor(method, request), visitor.grants && 'insufficient_scope');
  }
  const needed = neededFor(method, request);
  if (needed === undefined || callerFor(access, visitor).may(needed.action, needed.repository)) return;
  if (visitor.user === undefined || allows(access, visitor.user, needed.action))
    throw new Unnamed(scopesFor(method, request), visitor.grants && 'insufficient_scope');
  throw new OciError('DENIED', `You may not ${needed.action} here`);
}

/** What a token has to be for. A push asks whether blobs are there, too, and a mount for its source: one token for all of it. */
function scopesFor(method: string, request: HostedRequest | undefined): Grant[] {
  if (request?.kind === 'catalog') return [CATALOG_SCOPE];
  const needed = request && neededFor(method, request);
  if (request === undefined || needed === undefined) return [];
  const {action, repository} = needed;
  const own = action === 'push' ? repositoryScope(repository, 'pull', 'push') : repositoryScope(repository, action);
  const isMount = request.kind === 'uploads' && request.mount !== undefined && request.from !== undefined;
  return [own, ...(isMount && request.from !== undefined ? [repositoryScope(request.from, 'pull')] : [])];
}

/** No open proxy: who does not say who it is gets only what the administrator named under `upstreams`. */
function checkAnonymous(access: DirectAccess, pull: Pull, label: string): void {
  const isConfigured = label !== 'other' && label !== '';
  if (allows(access, undefined, 'pull') && isConfigured) return;
  throw new Unnamed([repositoryScope(pull.name.repository, 'pull')]);
}

const TOKEN = new Subject('token', 'hosted');

async function answerToken(parts: DirectParts, passing: Passing): Promise<void> {
  const {req, res, exchange, access} = passing;
  exchange.subject = TOKEN;
  if (req.method !== 'GET' && req.method !== 'POST') {
    res.setHeader('allow', 'GET, POST');
    throw new OciError('UNSUPPORTED', 'Tokens are given to GET and POST');
  }
  const {user, answer} = await giveToken(access, req);
  exchange.identity = user;
  exchange.result = 'hit';
  if (user !== undefined) parts.metrics.logins.inc({outcome: 'right'});
  const body = JSON.stringify(answer);
  const length = Buffer.byteLength(body);
  res
    .writeHead(200, {'content-type': 'application/json', 'content-length': length, 'cache-control': 'no-store'})
    .end(body);
}

const OUTCOMES: Readonly<Record<DoorError['reason'], LoginOutcome>> = {
  wrong: 'wrong',
  malformed: 'wrong',
  expired: 'wrong',
  wait: 'throttled',
};

/** What the door itself refuses gets its challenge; all else is an answer like any other. */
function answerRefusal({metrics, log}: DirectParts, passing: Passing, error: unknown): void {
  const {req, exchange, access, request} = passing;
  if (error instanceof Unnamed) {
    metrics.refusals.inc({reason: error.error === undefined ? 'unnamed' : 'rights'});
    const headers = challengeTo(req, access, error.scopes, error.error);
    return answerError(new OciError('UNAUTHORIZED', error.message), passing, log, headers);
  }
  if (error instanceof DoorError) {
    metrics.logins.inc({outcome: OUTCOMES[error.reason]});
    if (error.reason === 'wait') {
      metrics.refusals.inc({reason: 'guesses'});
      const headers = {'retry-after': String(Math.ceil(error.waitMs / 1000)), connection: 'close'};
      return answerError(new OciError('TOOMANYREQUESTS', error.message), passing, log, headers);
    }
    metrics.refusals.inc({reason: 'credentials'});
    const isToken = exchange.subject.kind === 'token';
    const headers = isToken
      ? {'www-authenticate': BASIC}
      : challengeTo(
          req,
          access,
          scopesFor(req.method ?? '', request),
          error.reason === 'expired' ? 'invalid_token' : undefined,
        );
    return answerError(new OciError('UNAUTHORIZED', error.message), passing, log, headers);
  }
  if (error instanceof OciError && error.code === 'DENIED') metrics.refusals.inc({reason: 'rights'});
  answerError(error, passing, log);
}

function challengeTo(
  req: IncomingMessage,
  {tokens}: DirectAccess,
  scopes: readonly Grant[],
  error: 'insufficient_scope' | 'invalid_token' | undefined,
): OutgoingHttpHeaders {
  return {'www-authenticate': challenges(req, tokens.service, scopes, error)};
}
