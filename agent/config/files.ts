import {constants} from 'node:fs';
import {access, readFile, stat} from 'node:fs/promises';
import {isAbsolute} from 'node:path';
import {createSecureContext} from 'node:tls';
import {newIssue} from './check.ts';
import type {ConfigIssue} from './error.ts';
import {isRecord, valueAt, type Layer, type Step} from './layer.ts';

/** Far more than a secret, a docker config or a bundle of the system's CAs has. */
const MAX_BYTES = 4 * 1024 * 1024;
const MIN_SECRET = 16;
const MAX_SECRET = 1024;

/** Looks at every file the configuration names: that it can be read now, and that it is what it should be. */
export async function checkFiles(config: Layer): Promise<readonly ConfigIssue[]> {
  const checks = [
    ...paths(config, 'listeners', ['secretFile']).map((path) => checkFile(config, path, checkSecret)),
    ...paths(config, 'upstreams', ['credentials', 'passwordFile']).map((path) =>
      checkFile(config, path, checkPassword),
    ),
    ...paths(config, 'upstreams', ['credentials', 'dockerConfigFile']).map((path) =>
      checkFile(config, path, checkDockerConfig),
    ),
    ...paths(config, 'upstreams', ['tls', 'caFile']).map((path) => checkFile(config, path, checkCa)),
    ...paths(config, 'upstreams', ['tls', 'certFile']).map((path) => checkKeyPair(config, path)),
    ...paths(config, 'upstreams', ['credentials', 'credentialHelper']).map((path) => checkHelper(config, path)),
  ];
  return (await Promise.all(checks)).flat();
}

/** The node's secret as the file has it, trimmed. @throws {SyntaxError} if it is too short, too long, or no header can carry it. */
export function parseSecret(text: string): string {
  const secret = text.trim();
  if (secret.length < MIN_SECRET || secret.length > MAX_SECRET || !/^[\u0021-\u007e]+$/.test(secret))
    throw new SyntaxError('Not a secret');
  return secret;
}

function paths(config: Layer, list: string, key: readonly string[]): Step[][] {
  const items = valueAt(config.tree, [list]);
  const count = Array.isArray(items) ? items.length : 0;
  return Array.from({length: count}, (_, i) => [list, i, ...key]).filter(
    (path) => typeof valueAt(config.tree, path) === 'string',
  );
}

/** @returns what was expected, or `undefined` if it is right. */
type Check = (content: string) => string | undefined;

async function checkFile(config: Layer, path: readonly Step[], check: Check): Promise<ConfigIssue[]> {
  const content = await readBounded(String(valueAt(config.tree, path)));
  const message = typeof content === 'string' ? check(content) : content.message;
  return message === undefined ? [] : [newIssue(config, path, message)];
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

function codeOf(error: unknown): string {
  return (error as NodeJS.ErrnoException).code ?? 'unknown';
}

const checkSecret: Check = (content) => {
  try {
    parseSecret(content);
    return undefined;
  } catch {
    return `expected a secret of ${String(MIN_SECRET)} to ${String(MAX_SECRET)} printable characters without spaces in the file`;
  }
};

const checkPassword: Check = (content) =>
  content.trim() === '' ? 'expected a password in the file; it is empty' : undefined;

const checkDockerConfig: Check = (content) => {
  try {
    if (isRecord(JSON.parse(content))) return undefined;
  } catch {
    // said below, without the parser's words: they quote the file
  }
  return 'expected a docker config.json (a JSON object) in the file';
};

const checkCa: Check = (content) => {
  try {
    if (content.includes('-----BEGIN CERTIFICATE-----') && createSecureContext({ca: content}) !== undefined)
      return undefined;
  } catch {
    // said below
  }
  return 'expected PEM certificates in the file';
};

async function checkKeyPair(config: Layer, certPath: readonly Step[]): Promise<ConfigIssue[]> {
  const keyPath = [...certPath.slice(0, -1), 'keyFile'];
  const said = [certPath, keyPath].filter((path) => typeof valueAt(config.tree, path) === 'string');
  const unreadable = await Promise.all(said.map((path) => checkFile(config, path, () => undefined)));
  if (said.length < 2 || unreadable.flat().length > 0) return unreadable.flat(); // rules.ts says what is missing
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

/** One that is found by its name is looked for when it is needed: PATH may differ until then. */
async function checkHelper(config: Layer, path: readonly Step[]): Promise<ConfigIssue[]> {
  const helper = String(valueAt(config.tree, path));
  if (!isAbsolute(helper)) return [];
  try {
    await access(helper, constants.X_OK);
    return [];
  } catch (error) {
    return [newIssue(config, path, `expected a program; ${JSON.stringify(helper)} cannot be run (${codeOf(error)})`)];
  }
}
