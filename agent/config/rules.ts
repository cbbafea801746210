import {resolve} from 'node:path';
import {checkUpstreams} from '../../oci/upstream-rules.ts';
import {formatAddress, parseAddress} from '../../proc/config/address.ts';
import {newIssue} from '../../proc/config/check.ts';
import type {ConfigIssue} from '../../proc/config/error.ts';
import {isRecord, recordsAt, tried, valueAt, type Layer, type Step} from '../../proc/config/layer.ts';
import {checkHosted, checkListeners} from './listener-rules.ts';

/**
 * Rules between keys. They look at the tree as it was written, so that they can be told even where other keys are
 * wrong: everything is listed at once. What has the wrong type is left to the schema.
 */
export function checkRules(config: Layer): readonly ConfigIssue[] {
  return [
    ...checkAddresses(config),
    ...checkListeners(config),
    ...checkHosted(config),
    ...checkDataPath(config),
    ...checkProof(config),
    ...checkNode(config),
    ...checkUpstreams(config),
  ];
}

function checkAddresses(config: Layer): ConfigIssue[] {
  const taken = new Map<string, string>();
  const issues: ConfigIssue[] = [];
  const listeners = recordsAt(config, 'listeners').map(
    ([i, {address}]) => [['listeners', i, 'address'] as Step[], address] as const,
  );
  for (const [path, text] of [...listeners, [['adminListen'], valueAt(config.tree, ['adminListen'])] as const]) {
    const address = tried(text, parseAddress);
    if (address === undefined) continue;
    const name = formatAddress(address);
    const other = address.port === 0 ? undefined : taken.get(name);
    if (other !== undefined)
      issues.push(newIssue(config, path, `expected an address of its own; ${name} is also ${other}`));
    taken.set(name, path[0] === 'listeners' ? `listeners[${String(path[1])}].address` : 'adminListen');
  }
  return issues;
}

/** The kernel's limit for the path of a unix socket, without the 0 at its end. */
const MAX_SOCKET_PATH = 107;

function checkDataPath(config: Layer): ConfigIssue[] {
  const data = valueAt(config.tree, ['data']);
  const socketBytes = Buffer.byteLength(resolve(typeof data === 'string' ? data : './data', 'noost.sock'));
  if (socketBytes <= MAX_SOCKET_PATH) return [];
  return [
    newIssue(
      config,
      ['data'],
      `expected a path of ${String(MAX_SOCKET_PATH - '/noost.sock'.length)} bytes at most, because of the socket in it; it has ${String(socketBytes - '/noost.sock'.length)}`,
    ),
  ];
}

/** Where there are credentials it must be said who may have what they fetch (design §8). */
function checkProof(config: Layer): ConfigIssue[] {
  const owner = recordsAt(config, 'upstreams').find(
    ([, {credentials, tls}]) => isSaid(credentials) || (isRecord(tls) && isSaid(tls['certFile'])),
  );
  const secrets = valueAt(config.tree, ['kubernetes', 'pullSecrets']);
  const hasSecrets = Array.isArray(secrets) && secrets.length > 0;
  const keepsNode = (valueAt(config.tree, ['node', 'configure']) ?? 'none') !== 'none'; // with a secret of its own making
  if (keepsNode || (owner === undefined && !hasSecrets)) return [];
  const what =
    owner === undefined ? 'kubernetes.pullSecrets are' : `upstream ${JSON.stringify(owner[1]['host'] ?? '')} has`;
  return recordsAt(config, 'listeners')
    .filter(([, {door}]) => door !== 'direct') // where the node's credentials are never used
    .filter(([, {secretFile, anyLocalProcess}]) => secretFile === undefined && anyLocalProcess !== true)
    .map(([i]) => {
      const key = `listeners[${String(i)}]`;
      return newIssue(
        config,
        ['listeners', i],
        `${what} credentials, so say who may have what they fetch: expected ${key}.secretFile (--secret-file), or ${key}.anyLocalProcess: true (--any-local-process)`,
      );
    });
}

function checkNode(config: Layer): ConfigIssue[] {
  const configure = valueAt(config.tree, ['node', 'configure']) ?? 'none';
  const doors = recordsAt(config, 'listeners').map(([, {door}]) => door ?? 'runtime');
  if (configure === 'none' || doors.includes('runtime')) return [];
  const message = 'expected a listener with door: runtime, which the runtime of this node is to be pointed at';
  return [newIssue(config, ['node', 'configure'], message)];
}

function isSaid(value: unknown): boolean {
  return value !== undefined && value !== null;
}
