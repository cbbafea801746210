import type {Flag} from '../command.ts';
import type {KnownSettings, Setting} from './settings.ts';

/** Flags of each process that reads a configuration. */
export const CONFIG_FLAGS: readonly Flag[] = [
  {name: 'config', kind: 'text', short: 'c', description: 'The configuration file', group: 'Configuration'},
  {
    name: 'check',
    kind: 'boolean',
    description: 'Only checks the configuration and prints what would be in effect',
    group: 'Configuration',
  },
];

/**
 * A flag for each setting, in the order of the file, the short ones first.
 * @param groups first name in a setting's key → heading in `--help`.
 */
export function settingFlags({settings, shorts}: KnownSettings, groups: Readonly<Record<string, string>>): Flag[] {
  return [
    ...shorts.map(({flag, kind, description}) => ({name: flag, kind, description, group: 'In short'})),
    ...settings.map((setting) => newFlag(setting, groups[setting.path[0] ?? ''] ?? 'More')),
  ];
}

function newFlag({flag, kind, schema}: Setting, group: string): Flag {
  const form = kind === 'yaml' ? ', as YAML or JSON' : schema.enum === undefined ? '' : ` (${schema.enum.join(', ')})`;
  return {
    name: flag,
    kind: kind === 'boolean' ? 'boolean' : 'text',
    description: (schema.description ?? '').replaceAll('`', '') + form,
    group,
    ...(schema.default === undefined
      ? {}
      : {shownDefault: typeof schema.default === 'string' ? schema.default : JSON.stringify(schema.default)}),
    ...(schema.enum === undefined ? {} : {choices: schema.enum}),
  };
}
