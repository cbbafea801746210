import {keyTable, settingsTable, shortsTable, type Tables} from '../../proc/config/reference.ts';
import {AGENT_JSON_SCHEMA, KNOWN} from './settings.ts';

/** The tables of docs/configuration.md: every key with its flag and variable, then the keys of the two lists. */
export function agentTables(): Tables {
  const {listeners, upstreams} = AGENT_JSON_SCHEMA.properties ?? {};
  return {
    source: 'agent/config/schema.ts',
    sections: [
      ['Settings', settingsTable(KNOWN)],
      ['In short', shortsTable(KNOWN)],
      ['Keys of a listener', keyTable(listeners?.items ?? {})],
      ['Keys of an upstream', keyTable(upstreams?.items ?? {})],
    ],
  };
}
