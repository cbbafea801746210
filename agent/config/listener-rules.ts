import {isLoopback, parseAddress} from '../../proc/config/address.ts';
import {newIssue} from '../../proc/config/check.ts';
import type {ConfigIssue} from '../../proc/config/error.ts';
import {isRecord, recordsAt, tried, valueAt, type Fields, type Layer, type Step} from '../../proc/config/layer.ts';
import {parseRegistry} from '../../oci/reference.ts';

/** Keys that mean something at one of the doors only. */
const ONLY_AT: Readonly<Record<string, 'runtime' | 'direct'>> = {
  secretFile: 'runtime',
  anyLocalProcess: 'runtime',
  tls: 'direct',
  insecure: 'direct',
  users: 'direct',
};

/** What the door of a listener asks of its other keys (design §8). */
export function checkListeners(config: Layer): ConfigIssue[] {
  return recordsAt(config, 'listeners').flatMap(([i, listener]) => {
    const path = ['listeners', i];
    const door = listener['door'] ?? 'runtime';
    const misplaced = Object.keys(ONLY_AT)
      .filter((key) => isOn(listener[key]) && ONLY_AT[key] !== door && (door === 'runtime' || door === 'direct'))
      .map((key) => newIssue(config, [...path, key], `expected only at a listener with door: ${ONLY_AT[key] ?? ''}`));
    if (door === 'runtime') return [...misplaced, ...checkRuntimeAddress(config, path, listener)];
    return door === 'direct' ? [...misplaced, ...checkDirect(config, path, listener)] : [];
  });
}

function isOn(value: unknown): boolean {
  return value !== undefined && value !== false;
}

function checkRuntimeAddress(config: Layer, path: readonly Step[], {address: text}: Fields): ConfigIssue[] {
  const address = tried(text, parseAddress);
  if (address === undefined || isLoopback(address.host)) return [];
  const why = 'what a runtime listener says is not encrypted, and only this machine may hear it';
  const message = `expected a loopback address (127.0.0.1 or [::1]): ${why}; got ${JSON.stringify(text)}`;
  return [newIssue(config, [...path, 'address'], message)];
}

function checkDirect(config: Layer, path: readonly Step[], listener: Fields): ConfigIssue[] {
  const {tls, users, insecure} = listener;
  const issues: ConfigIssue[] = [];
  const address = tried(listener['address'], parseAddress);
  if (tls === undefined && insecure !== true && address !== undefined && !isLoopback(address.host)) {
    const otherwise = 'or insecure: true behind a proxy that ends TLS';
    const message = `expected tls with certFile and keyFile, because others than this machine send passwords here; ${otherwise}`;
    issues.push(newIssue(config, [...path, 'tls'], message));
  }
  for (const [there, missing] of [
    ['certFile', 'keyFile'],
    ['keyFile', 'certFile'],
  ] as const)
    if (isRecord(tls) && isOn(tls[there]) && !isOn(tls[missing]))
      issues.push(newIssue(config, [...path, 'tls', there], `expected ${missing} with it`));
  if (isRecord(tls) && !isOn(tls['certFile']) && !isOn(tls['keyFile']))
    issues.push(newIssue(config, [...path, 'tls'], 'expected certFile and keyFile'));
  if (
    users === undefined ||
    (isRecord(users) && !isOn(users['htpasswdFile']) && (users['anonymous'] ?? 'none') === 'none')
  )
    issues.push(
      newIssue(
        config,
        [...path, 'users'],
        'expected users.htpasswdFile (who may push and pull), or users.anonymous: pull: as it is nobody may do anything here',
      ),
    );
  return issues;
}

export function checkHosted(config: Layer): ConfigIssue[] {
  const hosted = valueAt(config.tree, ['hosted']);
  if (!isRecord(hosted)) return [];
  if (!recordsAt(config, 'listeners').some(([, {door}]) => door === 'direct'))
    return [newIssue(config, ['hosted'], 'expected a listener with door: direct, for images are pushed there')];
  const host = tried(hosted['host'], parseRegistry);
  if (host === undefined) return [];
  // One name, one registry: what is missing here must not come from elsewhere, nor the reverse.
  return recordsAt(config, 'upstreams')
    .filter(([, upstream]) => tried(upstream['host'], (text) => parseRegistry(text.split('/', 1)[0] ?? '')) === host)
    .map(([i]) =>
      newIssue(config, ['upstreams', i, 'host'], `expected another registry; ${host} is what hosted.host says we are`),
    );
}
