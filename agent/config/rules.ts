import {resolve} from 'node:path';
import {formatAddress, isLoopback, parseAddress} from './address.ts';
import {newIssue} from './check.ts';
import type {ConfigIssue} from './error.ts';
import {isRecord, valueAt, type Layer, type Step} from './layer.ts';
import {ANY_UPSTREAM, parseUpstreamHost} from './upstream-host.ts';

/**
 * Rules between keys. They look at the tree as it was written, so that they can be told even where other keys are
 * wrong: everything is listed at once. What has the wrong type is left to the schema.
 */
export function checkRules(config: Layer): readonly ConfigIssue[] {
  const upstreams = records(config, 'upstreams');
  return [
    ...checkAddresses(config),
    ...checkDataPath(config),
    ...checkProof(config, upstreams),
    ...checkDuplicates(config, upstreams),
    ...upstreams.flatMap(([at, upstream]) => checkUpstream(config, ['upstreams', at], upstream)),
  ];
}

type Fields = Readonly<Record<string, unknown>>;

function records(config: Layer, key: string): readonly (readonly [number, Fields])[] {
  const list = valueAt(config.tree, [key]);
  if (!Array.isArray(list)) return [];
  return (list as unknown[]).flatMap((item, i) => (isRecord(item) ? [[i, item] as const] : []));
}

/** `undefined` where `parse` would throw, and where there is no text: for the schema to say. */
function tried<T>(value: unknown, parse: (text: string) => T): T | undefined {
  try {
    return typeof value === 'string' ? parse(value) : undefined;
  } catch {
    return undefined;
  }
}

function checkAddresses(config: Layer): ConfigIssue[] {
  const taken = new Map<string, string>();
  const issues: ConfigIssue[] = [];
  const listeners = records(config, 'listeners').map(
    ([i, {address}]) => [['listeners', i, 'address'] as Step[], address] as const,
  );
  for (const [path, text] of [...listeners, [['adminListen'], valueAt(config.tree, ['adminListen'])] as const]) {
    const address = tried(text, parseAddress);
    if (address === undefined) continue;
    if (path[0] === 'listeners' && !isLoopback(address.host)) {
      issues.push(
        newIssue(
          config,
          path,
          `expected a loopback address (127.0.0.1 or [::1]): what a runtime listener says is not encrypted, and only this machine may hear it; got ${JSON.stringify(text)}`,
        ),
      );
    }
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
function checkProof(config: Layer, upstreams: readonly (readonly [number, Fields])[]): ConfigIssue[] {
  const owner = upstreams.find(
    ([, {credentials, tls}]) => isSaid(credentials) || (isRecord(tls) && isSaid(tls['certFile'])),
  );
  if (owner === undefined) return [];
  const host = JSON.stringify(owner[1]['host'] ?? '');
  return records(config, 'listeners')
    .filter(([, {secretFile, anyLocalProcess}]) => secretFile === undefined && anyLocalProcess !== true)
    .map(([i]) => {
      const key = `listeners[${String(i)}]`;
      return newIssue(
        config,
        ['listeners', i],
        `upstream ${host} has credentials, so say who may have what they fetch: expected ${key}.secretFile (--secret-file), or ${key}.anyLocalProcess: true (--any-local-process)`,
      );
    });
}

function isSaid(value: unknown): boolean {
  return value !== undefined && value !== null;
}

function checkDuplicates(config: Layer, upstreams: readonly (readonly [number, Fields])[]): ConfigIssue[] {
  const first = new Map<string, number>();
  return upstreams.flatMap(([i, {host}]) => {
    const name = tried(host, parseUpstreamHost);
    if (name === undefined) return [];
    const other = first.get(name);
    if (other === undefined) first.set(name, i);
    if (other === undefined) return [];
    return [
      newIssue(
        config,
        ['upstreams', i, 'host'],
        `expected each host once; ${name} is also upstreams[${String(other)}].host`,
      ),
    ];
  });
}

function checkUpstream(config: Layer, path: readonly Step[], upstream: Fields): ConfigIssue[] {
  const issues = upstream['host'] === ANY_UPSTREAM ? checkDefaults(config, path, upstream) : [];
  if (upstream['offline'] === true && upstream['cache'] === 'never') {
    issues.push(
      newIssue(config, [...path, 'cache'], 'expected always, because of offline: true: nothing could ever be served'),
    );
  }
  const {credentials, tls} = upstream;
  if (isRecord(credentials)) issues.push(...checkCredentials(config, [...path, 'credentials'], credentials));
  if (isRecord(tls) && (tls['certFile'] === undefined) !== (tls['keyFile'] === undefined)) {
    const [there, missing] = tls['certFile'] === undefined ? ['keyFile', 'certFile'] : ['certFile', 'keyFile'];
    issues.push(newIssue(config, [...path, 'tls', there], `expected ${missing} with it`));
  }
  return issues;
}

/** What belongs to one registry cannot be everybody's default: a password, a mirror's address, a client certificate. */
const ONE_REGISTRY_ONLY: readonly (readonly string[])[] = [
  ['url'],
  ['mirrors'],
  ['credentials', 'username'],
  ['credentials', 'passwordFile'],
  ['tls', 'certFile'],
  ['tls', 'keyFile'],
  ['tls', 'insecureSkipVerify'],
];

function checkDefaults(config: Layer, path: readonly Step[], upstream: Fields): ConfigIssue[] {
  const isSet = (value: unknown): boolean => value !== undefined && value !== false;
  return ONE_REGISTRY_ONLY.filter((key) => isSet(valueAt(upstream, key))).map((key) =>
    newIssue(
      config,
      [...path, ...key],
      'expected a host of its own for this: it cannot be the default of all registries ("*")',
    ),
  );
}

const SOURCES = ['passwordFile', 'dockerConfigFile', 'credentialHelper'] as const;

function checkCredentials(config: Layer, path: readonly Step[], credentials: Fields): ConfigIssue[] {
  const said = SOURCES.filter((key) => credentials[key] !== undefined);
  if (said.length !== 1) {
    const found = said.length === 0 ? 'none is there' : `got ${said.join(' and ')}`;
    return [
      newIssue(
        config,
        path,
        `expected exactly one of passwordFile (with username), dockerConfigFile and credentialHelper; ${found}`,
      ),
    ];
  }
  const hasUser = credentials['username'] !== undefined;
  if (hasUser === (said[0] === 'passwordFile')) return [];
  return [
    newIssue(
      config,
      path,
      hasUser ? 'expected username only with passwordFile' : 'expected username with passwordFile',
    ),
  ];
}
