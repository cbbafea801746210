import type {z} from 'zod';
import {checkLayer} from './check.ts';
import {ConfigError, type ConfigIssue} from './error.ts';
import {readConfigFile} from './file.ts';
import type {Layer} from './layer.ts';
import type {Merged} from './merge.ts';
import {CONFIG_VARIABLE, type KnownSettings} from './settings.ts';
import {readFlags, readVariables, type TextLayer, type Texts} from './text-layer.ts';

/** How a process's settings are read and what is asked of them. */
export interface SettingsSource<Schema extends z.ZodType> {
  readonly known: KnownSettings;
  readonly schema: Schema;
  /** Flag beats variable beats file. */
  readonly merge: (flags: TextLayer, variables: TextLayer, file: Layer | undefined) => Merged;
  /** Rules between keys, and the files they name. */
  readonly check: (config: Layer) => Promise<readonly ConfigIssue[]>;
}

/**
 * @param flags by their names without dashes, as settings.ts lists them, and `config`.
 * @param env as `process.env`.
 * @throws {ConfigError} that lists everything that is wrong.
 */
export async function loadSettings<Schema extends z.ZodType>(
  {known, schema, merge, check}: SettingsSource<Schema>,
  flags: Texts,
  env: Texts,
): Promise<z.output<Schema>> {
  const variables = readVariables(env, known);
  const said = readFlags(flags, known);
  const {file, issues: fileIssues} = await readFileLayer(flags['config'] ?? env[CONFIG_VARIABLE]);
  const merged = merge(said, variables, file);
  const layers = [said, variables, ...(file === undefined ? [] : [file]), merged];
  const issues = [
    ...fileIssues,
    ...variables.issues,
    ...said.issues,
    ...merged.issues,
    ...layers.flatMap((layer) => checkLayer(layer, schema)),
    ...(await check(merged)),
  ];
  if (issues.length > 0) throw new ConfigError(distinct(issues));
  return schema.parse(merged.tree);
}

/** A file that is broken as a whole must not hide what is wrong with flags and variables. */
async function readFileLayer(
  path: string | boolean | undefined,
): Promise<{file: Layer | undefined; issues: readonly ConfigIssue[]}> {
  if (typeof path !== 'string' || path === '') return {file: undefined, issues: []};
  try {
    return {file: await readConfigFile(path), issues: []};
  } catch (error) {
    if (error instanceof ConfigError) return {file: undefined, issues: error.issues};
    throw error;
  }
}

/** A layer and the merged whole find the same things wrong. */
function distinct(issues: readonly ConfigIssue[]): ConfigIssue[] {
  const seen = new Set<string>();
  return issues.filter(({path, origin, message}) => {
    const key = `${path}\n${origin}\n${message}`;
    return !seen.has(key) && seen.add(key);
  });
}
