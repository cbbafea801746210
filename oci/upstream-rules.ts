import {newIssue} from '../proc/config/check.ts';
import type {ConfigIssue} from '../proc/config/error.ts';
import {isRecord, recordsAt, tried, valueAt, type Fields, type Layer, type Step} from '../proc/config/layer.ts';
import {ANY_UPSTREAM, parseUpstreamHost} from './upstream-host.ts';

/** Rules between the keys of `upstreams`; what has the wrong type is left to the schema. */
export function checkUpstreams(config: Layer): readonly ConfigIssue[] {
  const upstreams = recordsAt(config, 'upstreams');
  return [
    ...checkDuplicates(config, upstreams),
    ...upstreams.flatMap(([at, upstream]) => checkUpstream(config, ['upstreams', at], upstream)),
  ];
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
