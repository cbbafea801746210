import {readFile, stat} from 'node:fs/promises';
import {isCollection, isMap, isPair, isScalar, LineCounter, parseDocument, type Document} from 'yaml';
import {ConfigError, type ConfigIssue} from './error.ts';
import type {Layer, Step} from './layer.ts';

/** A thousand upstreams with everything said are a third of it. */
const MAX_BYTES = 1024 * 1024;
/** Aliases are handy for shared credentials; a "billion laughs" needs more (D-033). */
const MAX_ALIASES = 1000;

/** @throws {ConfigError} if the file cannot be read, is too large or is not YAML. */
export async function readConfigFile(path: string): Promise<Layer> {
  return parseConfigText(await readBounded(path), path);
}

/** @throws {ConfigError} */
export function parseConfigText(text: string, name: string): Layer {
  const lines = new LineCounter();
  const document = parseDocument(text, {lineCounter: lines, uniqueKeys: true, prettyErrors: false});
  const found = [...document.errors, ...document.warnings].slice(0, 20);
  if (found.length > 0) {
    throw new ConfigError(
      found.map(({message, pos}) =>
        newIssue(`${name}:${String(lines.linePos(pos[0]).line)}`, `not valid YAML: ${message}`),
      ),
    );
  }
  return {
    tree: toPlain(document, name),
    origin: (steps) => `${name}:${String(lines.linePos(offsetOf(document, steps)).line)}`,
  };
}

/** @throws {ConfigError} on too many aliases, or a YAML value that is none in JSON. */
export function toPlain(document: Document, origin: string): unknown {
  try {
    return document.toJS({maxAliasCount: MAX_ALIASES}) ?? {};
  } catch (error) {
    throw new ConfigError([
      newIssue(origin, `not valid YAML: ${error instanceof Error ? error.message : String(error)}`),
    ]);
  }
}

async function readBounded(path: string): Promise<string> {
  try {
    const {size} = await stat(path);
    if (size > MAX_BYTES) throw new ConfigError([newIssue(path, 'the configuration file is larger than 1 MiB')]);
    return await readFile(path, 'utf8');
  } catch (error) {
    if (error instanceof ConfigError) throw error;
    const {code} = error as NodeJS.ErrnoException;
    throw new ConfigError([
      newIssue(path, `the configuration file cannot be read${code === undefined ? '' : ` (${code})`}`),
    ]);
  }
}

function newIssue(origin: string, message: string): ConfigIssue {
  return {path: '', origin, message};
}

/** Where the key at `steps` stands in the text; where it is missing, the nearest thing around it. */
function offsetOf(document: Document, steps: readonly Step[]): number {
  let node: unknown = document.contents;
  let offset = 0;
  for (const step of steps) {
    if (!isCollection(node)) break;
    const item: unknown = isMap(node)
      ? node.items.find(({key}) => isScalar(key) && String(key.value) === String(step))
      : node.items[Number(step)];
    const [at, next]: [unknown, unknown] = isPair(item) ? [item.key, item.value] : [item, item];
    if (at === undefined) break;
    offset = (at as {range?: readonly number[]}).range?.[0] ?? offset; // every node of a parsed document has one
    node = next;
  }
  return offset;
}
