/** What a log line may say besides its message. Nested objects are allowed and bounded. */
export type LogFields = Readonly<Record<string, unknown>>;

/** Of one string in a log line (D-037). */
const MAX_STRING = 2048;
const MAX_ITEMS = 32;
const MAX_DEPTH = 4;
/** Never written, whatever they hold (D-037): header and field names, compared in lower case. */
const HIDDEN = new Set([
  'authorization',
  'proxy-authorization',
  'cookie',
  'set-cookie',
  'password',
  'secret',
  'token',
  'access_token',
  'accesstoken',
  'refresh_token',
  'refreshtoken',
  'identitytoken',
  'noost-node-secret',
]);
/** User information and query of a URL: the one holds passwords, the other signatures (X-Amz-Signature, sig). */
const URL_SECRETS = /([a-z][a-z0-9+.-]*:\/\/)(?:[^\s/?#"'@]*@)?([^\s?#"']*)(\?[^\s"'#]*)?/gi;
const BLANK = /\s/;
const CREDENTIALS = /\b(Bearer|Basic)\s+[\w.~+/=-]{8,}/gi;

/** A copy of `fields` with secrets hidden, strings and lists cut to a bound, and errors as plain objects. */
export function safeFields(fields: LogFields): Record<string, unknown> {
  return safeObject(fields, MAX_DEPTH);
}

/** `text` without credentials, user information and URL queries, cut to a bound. */
export function safeText(text: string): string {
  const cut = text.length > MAX_STRING ? `${text.slice(0, MAX_STRING)}…` : text;
  const withoutUrls = cut.includes('://') ? cut.replace(URL_SECRETS, hideInUrl) : cut;
  // Most strings are names without a blank, in which there is nothing to look for.
  return BLANK.test(withoutUrls) ? withoutUrls.replace(CREDENTIALS, '$1 [hidden]') : withoutUrls;
}

function hideInUrl(_whole: string, scheme: string, rest: string, query: string | undefined): string {
  return scheme + rest + (query === undefined ? '' : '?[hidden]');
}

function safeObject(fields: object, depth: number): Record<string, unknown> {
  const safe: Record<string, unknown> = {};
  let left = MAX_ITEMS;
  for (const [key, value] of Object.entries(fields)) {
    if (value === undefined) continue;
    if (left-- === 0) break;
    safe[key] = HIDDEN.has(key.toLowerCase()) ? '[hidden]' : safeValue(value, depth - 1);
  }
  return safe;
}

function safeValue(value: unknown, depth: number): unknown {
  if (typeof value === 'string') return safeText(value);
  if (typeof value === 'bigint') return value.toString();
  if (typeof value !== 'object' || value === null) return value;
  if (depth <= 0) return '[deep]';
  if (value instanceof Error) return safeError(value, depth);
  if (ArrayBuffer.isView(value)) return `[${String(value.byteLength)} bytes]`;
  if (Array.isArray(value)) return value.slice(0, MAX_ITEMS).map((item) => safeValue(item, depth - 1));
  return safeObject(value, depth);
}

/** Name, message, code and causes. The stack only where it is the point: errors that nobody gave a code or a class. */
function safeError(error: Error, depth: number): Record<string, unknown> {
  const {code, cause} = error as Error & {readonly code?: unknown};
  const plain = code === undefined && ['Error', 'TypeError', 'RangeError', 'ReferenceError'].includes(error.name);
  return safeObject(
    {type: error.name, message: error.message, code, stack: plain ? error.stack : undefined, cause},
    depth,
  );
}
