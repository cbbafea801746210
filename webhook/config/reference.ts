import {keyTable, settingsTable, type Tables} from '../../proc/config/reference.ts';
import {KNOWN, WEBHOOK_JSON_SCHEMA} from './settings.ts';

/** The tables of docs/webhook-configuration.md. */
export function webhookTables(): Tables {
  const {rewrite, upstreams} = WEBHOOK_JSON_SCHEMA.properties ?? {};
  return {
    source: 'webhook/config/schema.ts',
    sections: [
      ['Settings', settingsTable(KNOWN)],
      ['Keys of a prefix', keyTable(rewrite?.properties?.['prefixes']?.items ?? {})],
      ['Keys of an upstream', keyTable(upstreams?.items ?? {})],
    ],
  };
}
