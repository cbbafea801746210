import type {JsonSchema} from './json-schema.ts';

/** One setting of a process: a YAML key, a flag and a variable. */
export interface Setting {
  /** As in the file, e.g. `cache.maxSize`. */
  readonly key: string;
  readonly path: readonly string[];
  /** Without dashes, e.g. `cache-max-size`. */
  readonly flag: string;
  readonly variable: string;
  /** How the text of a flag or variable is read; `yaml` is for lists. */
  readonly kind: 'text' | 'number' | 'boolean' | 'yaml';
  readonly schema: JsonSchema;
}

/** A flag and variable that say in one word what takes a list in the file. */
export interface ShortSetting {
  readonly flag: string;
  readonly variable: string;
  readonly kind: 'text' | 'boolean';
  readonly description: string;
  /** The flag it is another name of, or `undefined` for those about the one item of a list. */
  readonly alias: string | undefined;
  /** The key of that list, which cannot be said in the same breath. */
  readonly list?: string;
}

/** What a process can be told by flags and variables. */
export interface KnownSettings {
  readonly settings: readonly Setting[];
  readonly shorts: readonly ShortSetting[];
}

/** Names the configuration file. */
export const CONFIG_VARIABLE = 'NOOST_CONFIG';

/** Every setting that can be said as one flag or variable, from the schema itself, so that none can be forgotten. */
export function settingsOf(schema: JsonSchema, path: readonly string[] = []): readonly Setting[] {
  return Object.entries(schema.properties ?? {}).flatMap(([name, inner]) => {
    const innerPath = [...path, name];
    return inner.properties === undefined ? [newSetting(inner, innerPath)] : settingsOf(inner, innerPath);
  });
}

function newSetting(schema: JsonSchema, path: readonly string[]): Setting {
  const words = path.flatMap((name) => name.split(/(?=[A-Z])/)).map((word) => word.toLowerCase());
  return {
    key: path.join('.'),
    path,
    flag: words.join('-'),
    variable: `NOOST_${words.join('_').toUpperCase()}`,
    kind: kindOf(schema),
    schema,
  };
}

function kindOf({type}: JsonSchema): Setting['kind'] {
  if (type === 'array') return 'yaml';
  if (type === 'boolean') return 'boolean';
  return type === 'integer' || type === 'number' ? 'number' : 'text';
}
