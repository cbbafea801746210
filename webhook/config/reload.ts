import {isDeepStrictEqual} from 'node:util';
import type {WebhookConfig} from './shape.ts';

/** Settings that need a restart, by their keys in the file, and what decides whether they changed. */
const FIXED: readonly (readonly [key: string, value: (config: WebhookConfig) => unknown])[] = [
  ['listen', ({listen}) => listen],
  ['adminListen', ({adminListen}) => adminListen],
  ['kubeconfig', ({kubeconfig}) => kubeconfig],
  ['url', ({url}) => url],
  ['service', ({service}) => service],
  ['namespace', ({namespace}) => namespace],
  ['failurePolicy', ({failurePolicy}) => failurePolicy],
  ['certificates', ({certificates}) => certificates],
  ['allowPrivateUpstreams', ({allowPrivateUpstreams}) => allowPrivateUpstreams],
  ['log.format', ({log}) => log.format],
];

/** Keys that differ and that SIGHUP cannot change; all others take effect. */
export function needRestart(before: WebhookConfig, after: WebhookConfig): readonly string[] {
  return FIXED.filter(([, value]) => !isDeepStrictEqual(value(before), value(after))).map(([key]) => key);
}
