import {newAgentConfig} from './build.ts';
import {checkLayer} from './check.ts';
import {ConfigError, type ConfigIssue} from './error.ts';
import {readConfigFile} from './file.ts';
import {checkFiles} from './files.ts';
import type {Layer} from './layer.ts';
import {mergeLayers} from './merge.ts';
import {checkRules} from './rules.ts';
import {configSchema} from './schema.ts';
import {CONFIG_VARIABLE} from './settings.ts';
import type {AgentConfig} from './shape.ts';
import {readFlags, readVariables, type Texts} from './text-layer.ts';

/**
 * The agent's configuration: flag beats variable beats file beats default.
 * @param flags by their names without dashes, as settings.ts lists them, and `config`.
 * @param env as `process.env`.
 * @throws {ConfigError} that lists everything that is wrong.
 */
export async function loadAgentConfig(flags: Texts, env: Texts): Promise<AgentConfig> {
  const variables = readVariables(env);
  const said = readFlags(flags);
  const {file, issues: fileIssues} = await readFileLayer(flags['config'] ?? env[CONFIG_VARIABLE]);
  const merged = mergeLayers(said, variables, file);
  const issues = [
    ...fileIssues,
    ...variables.issues,
    ...said.issues,
    ...merged.issues,
    ...[said, variables, ...(file === undefined ? [] : [file]), merged].flatMap(checkLayer),
    ...checkRules(merged),
    ...(await checkFiles(merged)),
  ];
  if (issues.length > 0) throw new ConfigError(distinct(issues));
  return newAgentConfig(configSchema.parse(merged.tree));
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
