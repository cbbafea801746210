import process from 'node:process';
import {KubeError} from '../../kube/error.ts';
import {beginAnew} from '../../proc/begin-anew.ts';
import {CommandError, EXIT, type Arguments, type Command} from '../../proc/command.ts';
import {ConfigError} from '../../proc/config/error.ts';
import {CONFIG_FLAGS, settingFlags} from '../../proc/config/flags.ts';
import type {Texts} from '../../proc/config/text-layer.ts';
import {loadWebhookConfig} from '../config/load.ts';
import {renderWebhookConfig} from '../config/render.ts';
import {KNOWN} from '../config/settings.ts';
import type {WebhookConfig} from '../config/shape.ts';

/** Headings of `noost webhook --help`, by the first name in a setting's key. */
const GROUPS: Readonly<Record<string, string>> = {
  listen: 'Serving',
  adminListen: 'Serving',
  drain: 'Serving',
  kubeconfig: 'Cluster',
  url: 'Cluster',
  service: 'Cluster',
  namespace: 'Cluster',
  failurePolicy: 'Cluster',
  certificates: 'Certificates',
  pin: 'Images',
  rewrite: 'Images',
  allowPrivateUpstreams: 'Upstreams',
  upstreams: 'Upstreams',
  log: 'Logs',
};

/** `noost webhook`: runs until it is told to stop. */
export const command: Command = {
  flags: [...CONFIG_FLAGS, ...settingFlags(KNOWN, GROUPS)],
  positionals: [],
  examples: [
    ['$0 webhook', 'in a pod: everything is known'],
    ['$0 webhook --config noost-webhook.yaml --check', 'what would be in effect'],
    [
      '$0 webhook --kubeconfig ~/.kube/config --url https://192.0.2.1:10250',
      'outside a cluster, at a URL that the API server reaches',
    ],
  ],
  epilogue:
    'Every setting is also a key of the file and a variable: --pin-enabled is pin.enabled and NOOST_PIN_ENABLED.\n' +
    'Flag beats variable beats file. SIGHUP reads the file again. docs/webhook-configuration.md has all keys.',
  run,
};

async function run({flags}: Arguments): Promise<number> {
  const {check, ...settings} = flags;
  // None of the flags may be said twice, so there are no lists among them.
  const load = (): Promise<WebhookConfig> => loadWebhookConfig(settings as Texts, process.env);
  try {
    const config = await load();
    if (check === true) {
      process.stdout.write(renderWebhookConfig(config));
      return EXIT.ok;
    }
    beRoomy();
    const {runWebhook} = await import('../main.ts');
    return await runWebhook(config, load);
  } catch (error) {
    if (error instanceof ConfigError || error instanceof KubeError || isOfSystem(error))
      throw new CommandError(EXIT.failed, error.message, {cause: error});
    throw error;
  }
}

/**
 * The launcher's small young generation suits the agent, whose bytes are not on the heap. Reviews are, until they are
 * answered (docs/performance.md). V8 reads its size at its start, so this process begins anew, by execve(2).
 */
const YOUNG = '--max-semi-space-size=16';

function beRoomy(): void {
  if (!process.execArgv.includes(YOUNG)) beginAnew([YOUNG], process.argv.slice(1));
}

/** An address that is taken, and the like. */
function isOfSystem(error: unknown): error is NodeJS.ErrnoException {
  return error instanceof Error && 'syscall' in error;
}
