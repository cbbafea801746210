import process from 'node:process';
import {isInCluster} from '../../kube/access.ts';
import {CommandError, EXIT, type Arguments, type Command} from '../../proc/command.ts';
import {ConfigError} from '../../proc/config/error.ts';
import {CONFIG_FLAGS} from '../../proc/config/flags.ts';
import type {Texts} from '../../proc/config/text-layer.ts';
import {loadAgentConfig} from '../config/load.ts';
import {renderAgentConfig} from '../config/render.ts';
import type {AgentConfig} from '../config/shape.ts';
import {handOver, isAskedToPrint} from '../handover.ts';
import {SETTING_FLAGS} from './agent-flags.ts';

/** `noost agent`: runs until it is told to stop. */
export const command: Command = {
  flags: [...CONFIG_FLAGS, ...SETTING_FLAGS],
  positionals: [],
  examples: [
    ['$0 agent', 'embedded defaults: 127.0.0.1:5055, ./data'],
    ['$0 agent --config noost.yaml --check', 'what would be in effect'],
    ['$0 agent --data /var/lib/noost --cache-size 100GiB', 'a larger cache'],
    [`$0 agent --upstreams '[{host: ghcr.io, freshFor: 5m}]'`, 'a list as YAML'],
  ],
  epilogue:
    'Every setting is also a key of the file and a variable: --cache-max-size is cache.maxSize and NOOST_CACHE_MAX_SIZE.\n' +
    'Flag beats variable beats file. SIGHUP reads the file again. docs/configuration.md has all keys.',
  run,
};

/** In a pod: an Event, which `kubectl describe pod` shows; the log of a pod that restarts is looked at later, if at all. */
async function tellCluster(message: string): Promise<void> {
  if (!isInCluster(process.env)) return;
  const {reportFailedStart} = await import('../kubernetes/kubernetes.ts');
  await reportFailedStart(process.env, message);
}

async function run({flags}: Arguments): Promise<number> {
  const {check, ...settings} = flags;
  // None of the agent's flags may be said twice, so there are no lists among them.
  const load = (): Promise<AgentConfig> => loadAgentConfig(settings as Texts, process.env);
  const config = await load().catch(async (error: unknown) => {
    if (!(error instanceof ConfigError)) throw error;
    if (check !== true && !isAskedToPrint()) await tellCluster(error.message);
    throw new CommandError(EXIT.failed, error.message, {cause: error});
  });
  if (check === true) {
    process.stdout.write(renderAgentConfig(config));
    return EXIT.ok;
  }
  if (isAskedToPrint()) {
    process.stdout.write(JSON.stringify(config));
    return EXIT.ok;
  }
  handOver(config);
  const {serve} = await import('../serve.ts');
  return serve(config, load);
}
