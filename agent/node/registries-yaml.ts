import {isDeepStrictEqual} from 'node:util';
import {isMap, isScalar, parseDocument, type Document, type YAMLMap} from 'yaml';
import {SECRET_COMPONENT} from '../access/secret-path.ts';
import {formatBlock, type Mark} from './hosts-mark.ts';
import {asComponent, digestOf, NotMergeable, type AgentHost} from './hosts-merge.ts';

type Mirrors = Readonly<Record<string, unknown>>;

/** Where k3s and RKE2 have it, as the host sees it. @see https://docs.k3s.io/installation/private-registry */
export const REGISTRIES_YAML = 'registries.yaml';

/**
 * The agent as an endpoint in a registries.yaml: all else stays, byte for byte. The secret is in the path, for there are
 * no headers, and the path ends in `/v2`, which is right whether k3s takes it as it is or containerd completes it (B-009).
 * @param registries as images name them; `undefined`: `*`, which is all that the file does not name.
 * @throws {NotMergeable}
 */
export function mergeRegistries(
  base: string,
  {url, secret}: AgentHost,
  registries: readonly string[] | undefined,
  noted: Omit<Mark, 'url' | 'base' | 'broken'>,
): string {
  const document = read(base);
  const before = (document.toJS() ?? {}) as Mirrors; // checked by read
  const endpoint = secret === undefined ? url : `${url}/${SECRET_COMPONENT}${asComponent(secret)}/v2`;
  const names = registries ?? ['*'];
  const mirrors = (before['mirrors'] ?? {}) as Mirrors;
  const taken = names.find((name) => Object.hasOwn(mirrors, name));
  if (taken !== undefined)
    throw new NotMergeable(
      `it names mirrors of ${JSON.stringify(taken)} already: add ${JSON.stringify(url)} to their endpoints yourself`,
    );
  const {at, indent, head} = placeFor(base, document);
  const lines = names.flatMap((name) => [
    `${indent}${JSON.stringify(name)}:`,
    `${indent}  endpoint:`,
    `${indent}    - ${JSON.stringify(endpoint)}`,
  ]);
  const body = [...head, ...lines].map((line) => `${line}\n`).join('');
  const broken = at === base.length && base !== '' && !base.endsWith('\n');
  const text = `${base.slice(0, at)}${broken ? '\n' : ''}${formatBlock({...noted, url, base: digestOf(base), broken}, body)}${base.slice(at)}`;
  const ours = Object.fromEntries(names.map((name) => [name, {endpoint: [endpoint]}]));
  if (!isDeepStrictEqual(read(text).toJS(), {...before, mirrors: {...ours, ...mirrors}}))
    throw new NotMergeable(
      'its mirrors are written in a way that allows no other beside them: write a block, one registry a line',
    );
  return text;
}

function read(text: string): Document {
  const document = parseDocument(text);
  const [error] = document.errors;
  if (error !== undefined) throw new NotMergeable(`it is not valid YAML: ${error.message.split('\n')[0] ?? ''}`);
  if (document.contents !== null && !isMap(document.contents))
    throw new NotMergeable('it is no map of mirrors and configs');
  return document;
}

/** Before the first mirror, with its indentation; else a section of our own at the end. */
function placeFor(base: string, document: Document): {at: number; indent: string; head: readonly string[]} {
  const mirrors: unknown = document.get('mirrors', true);
  if (mirrors === undefined) return {at: base.length, indent: '  ', head: ['mirrors:']};
  const key = isMap(mirrors) && mirrors.flow !== true ? firstKey(mirrors) : undefined;
  if (key === undefined)
    throw new NotMergeable(
      'its mirrors are written in a way that allows no other beside them: write a block, one registry a line',
    );
  const at = base.lastIndexOf('\n', key - 1) + 1;
  return {at, indent: base.slice(at, key), head: []};
}

function firstKey(map: YAMLMap): number | undefined {
  const key = map.items[0]?.key;
  return isScalar(key) ? key.range?.[0] : undefined;
}
