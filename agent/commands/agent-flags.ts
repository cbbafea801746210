import {SETTINGS, SHORT_SETTINGS, type Setting} from '../config/settings.ts';
import type {Flag} from '../../proc/command.ts';

/** Headings of `noost agent --help`, by the first name in a setting's key. */
const GROUPS: Readonly<Record<string, string>> = {
  listeners: 'Serving',
  adminListen: 'Serving',
  drain: 'Serving',
  data: 'Cache',
  cache: 'Cache',
  defaultUpstream: 'Upstreams',
  allowPrivateUpstreams: 'Upstreams',
  upstreams: 'Upstreams',
  log: 'Logs',
};

/** A flag for each setting, in the order of the file, the short ones first. */
export const SETTING_FLAGS: readonly Flag[] = [
  ...SHORT_SETTINGS.map(({flag, kind, description}) => ({name: flag, kind, description, group: 'In short'})),
  ...SETTINGS.map(newFlag),
];

function newFlag({flag, kind, path, schema}: Setting): Flag {
  const form = kind === 'yaml' ? ', as YAML or JSON' : schema.enum === undefined ? '' : ` (${schema.enum.join(', ')})`;
  return {
    name: flag,
    kind: kind === 'boolean' ? 'boolean' : 'text',
    description: (schema.description ?? '').replaceAll('`', '') + form,
    group: GROUPS[path[0] ?? ''] ?? 'More',
    ...(schema.default === undefined
      ? {}
      : {shownDefault: typeof schema.default === 'string' ? schema.default : JSON.stringify(schema.default)}),
    ...(schema.enum === undefined ? {} : {choices: schema.enum}),
  };
}
