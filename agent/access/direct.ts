import type {IncomingMessage} from 'node:http';
import {OciError} from '../../oci/error.ts';
import {parseAuthorization} from './authorization.ts';
import {BusyError} from './bcrypt-thread.ts';
import type {Action, Caller} from './caller.ts';
import type {Passwords} from './passwords.ts';
import {CATALOG_SCOPE, isGranted, type Grant} from './scope.ts';
import type {Tokens} from './tokens.ts';

/** Who may what at one direct door. */
export interface DirectAccess {
  /** `undefined`: there are no users, only anybody. */
  readonly passwords: Passwords | undefined;
  readonly tokens: Tokens;
  /** What who does not say who it is may do. */
  readonly anonymous: 'none' | 'pull';
}

/** Who stands at the door. */
export interface Visitor {
  readonly user: string | undefined;
  /** What its token is for; `undefined`: it came with its password, or with nothing. */
  readonly grants: readonly Grant[] | undefined;
}

/** A refusal at the door: 401 with challenges, or 429. */
export class DoorError extends Error {
  override readonly name = 'DoorError';
  /** `wrong`: credentials that are not right · `expired`: a token that is not good (any more) · `wait`: too many guesses. */
  readonly reason: 'wrong' | 'expired' | 'wait' | 'malformed';
  readonly waitMs: number;
  constructor(reason: DoorError['reason'], message: string, waitMs = 0) {
    super(message);
    this.reason = reason;
    this.waitMs = waitMs;
  }
}

/** @throws {DoorError} for credentials that are not right; none at all is no error. @throws {OciError} UNAVAILABLE */
export async function identify(access: DirectAccess, req: IncomingMessage): Promise<Visitor> {
  const said = parseAuthorization(req.headers.authorization);
  if (said === undefined) return {user: undefined, grants: undefined};
  if (said === 'malformed') throw new DoorError('malformed', 'The Authorization header is neither Basic nor Bearer');
  if (said.scheme === 'bearer') return byToken(access, said.token);
  return {user: await login(access, said, req.socket.remoteAddress ?? ''), grants: undefined};
}

/** @returns the user. @throws {DoorError} @throws {OciError} UNAVAILABLE */
export async function login(
  {passwords}: DirectAccess,
  {user, password}: {readonly user: string; readonly password: string},
  address: string,
): Promise<string> {
  try {
    const result = passwords === undefined ? 'wrong' : await passwords.check(user, password, address);
    if (result === 'wrong') throw new DoorError('wrong', 'The user name or the password is not right');
    if ('user' in result) return result.user;
    throw new DoorError('wait', 'Too many wrong passwords: wait before the next try', result.waitMs);
  } catch (error) {
    if (!(error instanceof BusyError)) throw error;
    throw new OciError('UNAVAILABLE', 'Too many logins at the same time: try again', {cause: error});
  }
}

async function byToken({passwords, tokens, anonymous}: DirectAccess, token: string): Promise<Visitor> {
  const claims = await tokens.read(token);
  const isGood =
    claims !== undefined &&
    (claims.user === undefined
      ? anonymous === 'pull'
      : claims.generation !== undefined && passwords?.generation(claims.user) === claims.generation); // D-024
  if (!isGood) throw new DoorError('expired', 'The token is not one of ours, or not good any more');
  return {user: claims.user, grants: claims.grants};
}

/** What the visitor may have at most, whatever its token says: users may all, others what `anonymous` says (ADR 0007). */
export function allows(
  {anonymous}: Pick<DirectAccess, 'anonymous'>,
  user: string | undefined,
  action: Action,
): boolean {
  return user !== undefined || (anonymous === 'pull' && action === 'pull');
}

/** Which of the scopes a token for this user gets. */
export function grantsFor(
  access: Pick<DirectAccess, 'anonymous'>,
  user: string | undefined,
  wanted: readonly Grant[],
): readonly Grant[] {
  return wanted
    .map((grant): Grant => {
      if (grant.type === 'registry') return user === undefined ? {...grant, actions: []} : grant;
      return {...grant, actions: grant.actions.filter((action) => action !== '*' && allows(access, user, action))};
    })
    .filter(({actions}) => actions.length > 0);
}

/** What hosted content sees of the visitor. At this door upstreams are asked as anybody: the node's credentials are its runtime's. */
export function callerFor(access: Pick<DirectAccess, 'anonymous'>, {user, grants}: Visitor): Caller {
  return {
    door: 'direct',
    authority: 'anonymous',
    allowPrivate: false,
    identity: user,
    may: (action, repository) =>
      allows(access, undefined, action) || // what anybody may needs no token for it
      (allows(access, user, action) && (grants === undefined || isGranted(grants, action, repository))),
    couldPull: (repository) => repository !== '' && allows(access, user, 'pull'),
  };
}

/** Who may see the list of repositories: users, and with a token only if it is for that (D-111). */
export function mayList({user, grants}: Visitor): boolean {
  return user !== undefined && (grants === undefined || grants.some(({type}) => type === CATALOG_SCOPE.type));
}
