import type {IncomingMessage} from 'node:http';
import {OciError} from '../../oci/error.ts';
import {askForBody} from '../http/expect.ts';
import {grantsFor, identify, login, DoorError, type DirectAccess} from './direct.ts';
import {isUser} from './htpasswd.ts';
import {parseScopes} from './scope.ts';

/** A form with scopes and a password. */
const MAX_FORM = 64 << 10;
const MAX_QUERY = 8_192;
/** Nobody has said who it is yet, so it had better be quick (D-038). */
const FORM_MS = 10_000;

export interface TokenAnswer {
  readonly token: string;
  /** The same, by the name OAuth has for it. */
  readonly access_token: string;
  readonly expires_in: number;
  readonly issued_at: string;
}

/** What was asked, and by whom: for the answer and for the audit. */
export interface TokenGiven {
  readonly user: string | undefined;
  readonly answer: TokenAnswer;
}

/**
 * Answers who asks for a token: GET with Basic, as docker and most do, or POST with a form, as containerd does first.
 * @see https://distribution.github.io/distribution/spec/auth/token/ and /oauth/
 * @throws {DoorError | OciError}
 */
export async function giveToken(access: DirectAccess, req: IncomingMessage): Promise<TokenGiven> {
  const {fields, user} = req.method === 'POST' ? await readForm(access, req) : await readQuery(access, req);
  const {tokens, passwords, anonymous} = access;
  const service = fields.get('service');
  if (service !== null && service !== '' && service !== tokens.service)
    throw new OciError('DENIED', `Tokens here are for the service "${tokens.service}" only`);
  if (user === undefined && anonymous === 'none')
    throw new DoorError('wrong', 'There is nothing here for who does not say who it is');
  const grants = grantsFor(access, user, parseScopes(fields.getAll('scope')));
  const generation = user === undefined ? undefined : passwords?.generation(user);
  const issued = await tokens.issue({user, generation, grants});
  return {
    user,
    answer: {
      token: issued.token,
      access_token: issued.token,
      expires_in: issued.expiresInSeconds,
      issued_at: issued.issuedAt.toISOString(),
    },
  };
}

interface Question {
  readonly fields: URLSearchParams;
  readonly user: string | undefined;
}

async function readQuery(access: DirectAccess, req: IncomingMessage): Promise<Question> {
  const [, query = ''] = (req.url ?? '').split('?', 2);
  if (query.length > MAX_QUERY) throw new OciError('DENIED', 'The question for a token is too long');
  const {user, grants} = await identify(access, req);
  // A token is no way to a longer life or to more than it is for.
  if (grants !== undefined) throw new DoorError('wrong', 'A token is given for a user name and a password');
  return {fields: new URLSearchParams(query), user};
}

async function readForm(access: DirectAccess, req: IncomingMessage): Promise<Question> {
  const fields = new URLSearchParams(await readText(req));
  const [grant, name, password] = ['grant_type', 'username', 'password'].map((key) => fields.get(key) ?? '');
  if (grant !== 'password')
    throw new OciError('UNSUPPORTED', 'Tokens are given for a user name and a password: there are no refresh tokens');
  if (!isUser(name ?? '')) throw new DoorError('malformed', 'The form holds no user name');
  const user = await login(access, {user: name ?? '', password: password ?? ''}, req.socket.remoteAddress ?? '');
  return {fields, user};
}

async function readText(req: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let sizeBytes = 0;
  askForBody(req);
  const slow = setTimeout(() => req.destroy(), FORM_MS);
  try {
    for await (const chunk of req as AsyncIterable<Buffer>) {
      sizeBytes += chunk.length;
      if (sizeBytes > MAX_FORM) throw new OciError('DENIED', 'The form for a token is too long');
      chunks.push(chunk);
    }
  } finally {
    clearTimeout(slow);
  }
  return Buffer.concat(chunks).toString('utf8');
}
