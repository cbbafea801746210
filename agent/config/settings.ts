import {newJsonSchema} from '../../proc/config/json-schema.ts';
import {settingsOf, type KnownSettings, type ShortSetting} from '../../proc/config/settings.ts';
import {configSchema} from './schema.ts';

const SHORT_SETTINGS: readonly ShortSetting[] = [
  {
    flag: 'listen',
    variable: 'NOOST_LISTEN',
    kind: 'text',
    alias: undefined,
    list: 'listeners',
    description: 'Short for one runtime listener at this address, in place of all others',
  },
  {
    flag: 'any-local-process',
    variable: 'NOOST_ANY_LOCAL_PROCESS',
    kind: 'boolean',
    alias: undefined,
    list: 'listeners',
    description:
      'Short for anyLocalProcess of the one runtime listener: takes every caller on this machine for its runtime',
  },
  {
    flag: 'secret-file',
    variable: 'NOOST_SECRET_FILE',
    kind: 'text',
    alias: undefined,
    list: 'listeners',
    description: 'Short for secretFile of the one runtime listener',
  },
  {
    flag: 'cache-size',
    variable: 'NOOST_CACHE_SIZE',
    kind: 'text',
    alias: 'cache-max-size',
    description: 'Short for --cache-max-size',
  },
];

/** Published as docs/noost.schema.json. */
export const AGENT_JSON_SCHEMA = newJsonSchema('Noost agent', configSchema);

/** What `noost agent` can be told by flags and variables. */
export const KNOWN: KnownSettings = {settings: settingsOf(AGENT_JSON_SCHEMA), shorts: SHORT_SETTINGS};
