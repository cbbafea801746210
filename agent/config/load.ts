import {loadSettings} from '../../proc/config/load.ts';
import type {Texts} from '../../proc/config/text-layer.ts';
import {newAgentConfig} from './build.ts';
import {checkFiles} from './files.ts';
import {mergeLayers} from './merge.ts';
import {checkRules} from './rules.ts';
import {configSchema} from './schema.ts';
import {KNOWN} from './settings.ts';
import type {AgentConfig} from './shape.ts';

/**
 * The agent's configuration: flag beats variable beats file beats default.
 * @param flags by their names without dashes, as settings.ts lists them, and `config`.
 * @param env as `process.env`.
 * @throws {ConfigError} that lists everything that is wrong.
 */
export async function loadAgentConfig(flags: Texts, env: Texts): Promise<AgentConfig> {
  const source = {
    known: KNOWN,
    schema: configSchema,
    merge: mergeLayers,
    check: async (config: Parameters<typeof checkFiles>[0]) => [...checkRules(config), ...(await checkFiles(config))],
  };
  return newAgentConfig(await loadSettings(source, flags, env));
}
