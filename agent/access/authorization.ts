import {isUser} from './htpasswd.ts';

/** What an `Authorization` header holds. */
export type Authorization =
  | {readonly scheme: 'basic'; readonly user: string; readonly password: string}
  | {readonly scheme: 'bearer'; readonly token: string};

/** Base64 of a user name and a password of any honest length. */
const MAX_BASIC = 4_096;

/** `undefined` if there is none; `'malformed'` for what is no Basic or Bearer. */
export function parseAuthorization(header: string | undefined): Authorization | 'malformed' | undefined {
  if (header === undefined || header === '') return undefined;
  const [, scheme = '', rest = ''] = /^([A-Za-z]+) +([\w.~+/=-]+) *$/.exec(header) ?? [];
  if (scheme.toLowerCase() === 'bearer') return {scheme: 'bearer', token: rest};
  if (scheme.toLowerCase() !== 'basic' || rest.length > MAX_BASIC) return 'malformed';
  const text = Buffer.from(rest, 'base64').toString('utf8');
  const colon = text.indexOf(':');
  const [user, password] = [text.slice(0, colon), text.slice(colon + 1)];
  // RFC 7617: neither may hold control characters.
  if (colon === -1 || !isUser(user) || /\p{Cc}/u.test(password)) return 'malformed';
  return {scheme: 'basic', user, password};
}
