import {newJsonSchema} from '../../proc/config/json-schema.ts';
import {settingsOf, type KnownSettings} from '../../proc/config/settings.ts';
import {webhookSchema} from './schema.ts';

/** Published as docs/noost-webhook.schema.json. */
export const WEBHOOK_JSON_SCHEMA = newJsonSchema('Noost webhook', webhookSchema);

/** What `noost webhook` can be told by flags and variables. */
export const KNOWN: KnownSettings = {settings: settingsOf(WEBHOOK_JSON_SCHEMA), shorts: []};
