import type {IncomingMessage} from 'node:http';
import type {TLSSocket} from 'node:tls';
import {formatScopes, type Grant} from './scope.ts';

/** Where the direct door gives tokens: beside `/v2/`, for no repository can be there. */
export const TOKEN_PATH = '/token';
/** Nothing but a host and a port: it is echoed in a quoted string (D-036). */
const HOST = /^(?:[A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::\d{1,5})?$/;

/**
 * The two challenges, each a header of its own: clients that read only the first take Bearer. The realm is where the client
 * came to, for only it knows by which name it reaches us.
 * @param scopes what the request needs; clients ask for a token of just that.
 * @param error `insufficient_scope` or `invalid_token`, where a token was sent (RFC 6750 §3.1).
 */
export function challenges(
  req: IncomingMessage,
  service: string,
  scopes: readonly Grant[],
  error: 'insufficient_scope' | 'invalid_token' | undefined,
): string[] {
  const parts = [`realm="${originOf(req)}${TOKEN_PATH}"`, `service="${service}"`];
  if (scopes.length > 0) parts.push(`scope="${formatScopes(scopes)}"`);
  if (error !== undefined) parts.push(`error="${error}"`);
  return [`Bearer ${parts.join(',')}`, BASIC];
}

export const BASIC = 'Basic realm="noost", charset="UTF-8"';

/** Behind a proxy that ends TLS we speak http and the client https; who lies about it misleads only itself. */
function originOf(req: IncomingMessage): string {
  const encrypted = 'encrypted' in req.socket && (req.socket as TLSSocket).encrypted;
  const https = encrypted || req.headers['x-forwarded-proto'] === 'https';
  const {host = ''} = req.headers;
  const {localAddress = '', localPort = 0} = req.socket;
  const own = `${localAddress.includes(':') ? `[${localAddress}]` : localAddress}:${String(localPort)}`;
  return `${https ? 'https' : 'http'}://${HOST.test(host) ? host : own}`;
}
