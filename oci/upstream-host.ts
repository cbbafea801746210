import {isRepository, parseRegistry} from './reference.ts';

/** For the entry that all others take their defaults from. */
export const ANY_UPSTREAM = '*';

/**
 * Reads `host[:port][/path-prefix]` or `*`, and gives it one spelling: as `parseRegistry`, no slash at the end.
 * @throws {SyntaxError}
 */
export function parseUpstreamHost(text: string): string {
  if (text === ANY_UPSTREAM) return text;
  const slash = text.indexOf('/');
  if (slash === -1) return parseRegistry(text);
  const prefix = text.slice(slash + 1).replace(/\/$/, '');
  if (!isRepository(prefix)) throw new SyntaxError('Not a path prefix');
  return `${parseRegistry(text.slice(0, slash))}/${prefix}`;
}
