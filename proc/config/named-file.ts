import {readFile, stat} from 'node:fs/promises';
import {createSecureContext} from 'node:tls';
import {newIssue} from './check.ts';
import type {ConfigIssue} from './error.ts';
import {valueAt, type Layer, type Step} from './layer.ts';

/** Far more than a secret, a docker config or a bundle of the system's CAs has. */
const MAX_BYTES = 4 * 1024 * 1024;

/** @returns what was expected of the content, or `undefined` if it is right. */
export type Check = (content: string) => string | undefined;

/** Paths of the key in each item of a list, where there is a text. */
export function pathsIn(config: Layer, list: string, key: readonly string[]): Step[][] {
  const items = valueAt(config.tree, [list]);
  const count = Array.isArray(items) ? items.length : 0;
  return Array.from({length: count}, (_, i) => [list, i, ...key]).filter(
    (path) => typeof valueAt(config.tree, path) === 'string',
  );
}

/** Looks at the file that the key names: that it can be read now, and that it is what it should be. */
export async function checkFile(config: Layer, path: readonly Step[], check: Check): Promise<ConfigIssue[]> {
  const content = await readBounded(String(valueAt(config.tree, path)));
  const message = typeof content === 'string' ? check(content) : content.message;
  return message === undefined ? [] : [newIssue(config, path, message)];
}

export const checkCertificates: Check = (content) => {
  try {
    if (content.includes('-----BEGIN CERTIFICATE-----') && createSecureContext({ca: content}) !== undefined)
      return undefined;
  } catch {
    // said below
  }
  return 'expected PEM certificates in the file';
};

/** A certificate and, beside it in `keyFile`, its key. Whether both are named is a rule's business. */
export async function checkKeyPair(config: Layer, certPath: readonly Step[]): Promise<ConfigIssue[]> {
  const keyPath = [...certPath.slice(0, -1), 'keyFile'];
  const said = [certPath, keyPath].filter((path) => typeof valueAt(config.tree, path) === 'string');
  const unreadable = await Promise.all(said.map((path) => checkFile(config, path, () => undefined)));
  if (said.length < 2 || unreadable.flat().length > 0) return unreadable.flat();
  const [cert, key] = await Promise.all([
    readBounded(String(valueAt(config.tree, certPath))),
    readBounded(String(valueAt(config.tree, keyPath))),
  ]);
  try {
    if (typeof cert === 'string' && typeof key === 'string') createSecureContext({cert, key});
    return [];
  } catch {
    return [newIssue(config, certPath, 'expected a PEM certificate whose key is in keyFile')];
  }
}

export function codeOf(error: unknown): string {
  return (error as NodeJS.ErrnoException).code ?? 'unknown';
}

async function readBounded(file: string): Promise<string | {readonly message: string}> {
  try {
    const found = await stat(file);
    if (!found.isFile()) return {message: `expected a file; ${JSON.stringify(file)} is none`};
    if (found.size > MAX_BYTES) return {message: 'expected a file of 4 MiB at most'};
    return await readFile(file, 'utf8');
  } catch (error) {
    return {message: `expected a file that can be read; ${JSON.stringify(file)} cannot (${codeOf(error)})`};
  }
}
