import {settingFlags} from '../../proc/config/flags.ts';
import {KNOWN} from '../config/settings.ts';

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
  hosted: 'Hosted images',
  node: 'Node',
  log: 'Logs',
};

/** A flag for each setting, in the order of the file, the short ones first. */
export const SETTING_FLAGS = settingFlags(KNOWN, GROUPS);
