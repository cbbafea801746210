import {loadSettings} from '../../proc/config/load.ts';
import {chooseSettings} from '../../proc/config/merge.ts';
import type {Texts} from '../../proc/config/text-layer.ts';
import {newWebhookConfig} from './build.ts';
import {checkWebhook} from './rules.ts';
import {webhookSchema} from './schema.ts';
import {KNOWN} from './settings.ts';
import type {WebhookConfig} from './shape.ts';

/**
 * The webhook's configuration: flag beats variable beats file beats default.
 * @param flags by their names without dashes, as settings.ts lists them, and `config`.
 * @param env as `process.env`; POD_NAMESPACE is where our pod runs, as its manifest passes it on.
 * @throws {ConfigError} that lists everything that is wrong.
 */
export async function loadWebhookConfig(flags: Texts, env: Texts): Promise<WebhookConfig> {
  const settings = await loadSettings(
    {
      known: KNOWN,
      schema: webhookSchema,
      merge: (...layers) => ({...chooseSettings(KNOWN.settings, layers), issues: []}),
      check: checkWebhook,
    },
    flags,
    env,
  );
  const podNamespace = env['POD_NAMESPACE'];
  return newWebhookConfig(settings, typeof podNamespace === 'string' && podNamespace !== '' ? podNamespace : undefined);
}
