import type {z} from 'zod';
import {printable} from '../printable.ts';
import type {ConfigIssue} from './error.ts';
import {formatPath, valueAt, type Layer, type Step} from './layer.ts';

/** What the schema says of a layer, an issue for each wrong value and each unknown key. */
export function checkLayer(layer: Layer, schema: z.ZodType): readonly ConfigIssue[] {
  const result = schema.safeParse(layer.tree);
  if (result.success) return [];
  const seen = new Set<string>(); // a value of the wrong type may also be too long: once is enough
  return result.error.issues.flatMap((issue) => {
    const path = issue.path as readonly Step[]; // zod also allows symbols, which no YAML or JSON has
    const key = `${issue.code === 'unrecognized_keys' ? 'keys' : 'value'} ${formatPath(path)}`;
    if (seen.has(key)) return [];
    seen.add(key);
    if (issue.code !== 'unrecognized_keys') return [newIssue(layer, path, issue.message + got(layer, path))];
    const messages = issue.message.split('\n');
    return issue.keys.map((key, i) => newIssue(layer, [...path, key], messages[i] ?? 'unknown key'));
  });
}

export function newIssue(layer: Layer, path: readonly Step[], message: string): ConfigIssue {
  return {path: printable(formatPath(path), 200), origin: layer.origin(path), message: printable(message, 500)};
}

/** What was there instead, unless it could be a secret that somebody put into the wrong place. */
function got(layer: Layer, path: readonly Step[]): string {
  const value = valueAt(layer.tree, path);
  if (value === undefined) return '; it is missing';
  if (Array.isArray(value)) return '; got a list';
  if (typeof value === 'object') return value === null ? '; got nothing' : '; got an object';
  const text = String(value as string | number | boolean);
  if (path.includes('credentials') || /[@?]|:\/\//.test(text)) return '';
  return `; got ${JSON.stringify(text.slice(0, 60))}`;
}
