import {isDeepStrictEqual} from 'node:util';
import type {AgentConfig} from './shape.ts';

/** Settings that need a restart, by their keys in the file, and what decides whether they changed. */
const FIXED: readonly (readonly [key: string, value: (config: AgentConfig) => unknown])[] = [
  // Its secret file may be another one: it is read again on SIGHUP anyway.
  [
    'listeners',
    ({listeners}) => listeners.map(({host, port, door, tls}) => ({host, port, door, encrypted: tls !== undefined})),
  ],
  ['adminListen', ({adminListen}) => adminListen],
  ['data', ({dataDir}) => dataDir],
  ['node', ({node}) => node],
  ['deniedRanges', ({deniedRanges}) => deniedRanges],
  ['kubernetes', ({kubernetes}) => kubernetes],
  ['log.format', ({log}) => log.format],
];

/** Keys that differ and that SIGHUP cannot change; all others take effect. */
export function needRestart(before: AgentConfig, after: AgentConfig): readonly string[] {
  return FIXED.filter(([, value]) => !isDeepStrictEqual(value(before), value(after))).map(([key]) => key);
}
