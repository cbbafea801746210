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
