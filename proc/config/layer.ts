/** A step in a key's path. */
export type Step = string | number;

/** What one place (the file, the flags, the variables) says, not yet checked. */
export interface Layer {
  /** A tree as in the file; leaves may be of the wrong type. */
  readonly tree: unknown;
  /** Where the key at `path` was said, for a person: `noost.yaml:14`, `--cache-size`. */
  origin(path: readonly Step[]): string;
}

/** `upstreams[0].staleIfError.down` */
export function formatPath(path: readonly Step[]): string {
  return path.map((step, i) => (typeof step === 'number' ? `[${String(step)}]` : i === 0 ? step : `.${step}`)).join('');
}

/** What is at `path`, or `undefined`; never looks at inherited properties. */
export function valueAt(tree: unknown, path: readonly Step[]): unknown {
  let value = tree;
  for (const step of path) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, step)) return undefined;
    value = (value as Record<Step, unknown>)[step]; // an object that has it: checked just above
  }
  return value;
}

export function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

export type Fields = Readonly<Record<string, unknown>>;

/** The objects of a list, with their places in it; what is none is left to the schema. */
export function recordsAt(config: Layer, key: string): readonly (readonly [number, Fields])[] {
  const list = valueAt(config.tree, [key]);
  if (!Array.isArray(list)) return [];
  return (list as unknown[]).flatMap((item, i) => (isRecord(item) ? [[i, item] as const] : []));
}

/** `undefined` where `parse` would throw, and where there is no text: for the schema to say. */
export function tried<T>(value: unknown, parse: (text: string) => T): T | undefined {
  try {
    return typeof value === 'string' ? parse(value) : undefined;
  } catch {
    return undefined;
  }
}
