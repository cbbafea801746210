import {ambiguities, parsePrefix, type RewriteRule} from '../../oci/name-map.ts';
import {checkUpstreamFiles} from '../../oci/upstream-files.ts';
import {checkUpstreams} from '../../oci/upstream-rules.ts';
import {formatAddress, parseAddress} from '../../proc/config/address.ts';
import {newIssue} from '../../proc/config/check.ts';
import {formatDuration, parseDuration} from '../../proc/config/duration.ts';
import type {ConfigIssue} from '../../proc/config/error.ts';
import {isRecord, tried, valueAt, type Layer} from '../../proc/config/layer.ts';
import {DEFAULTS} from './build.ts';
import {checkCertificates, checkFile, checkKeyPair} from '../../proc/config/named-file.ts';

/** Less, and a leaf would be made anew all the time. */
const MIN_LIFETIME_MS = 60_000;
const MAX_LIFETIME_MS = 366 * 86_400_000;

/** Rules between keys, and the files they name; what has the wrong type is left to the schema. */
export async function checkWebhook(config: Layer): Promise<readonly ConfigIssue[]> {
  return [
    ...checkAddresses(config),
    ...checkRewrite(config),
    ...checkOwnCertificates(config),
    ...checkUpstreams(config),
    ...(await checkUpstreamFiles(config)),
    ...(await checkNamedFiles(config)),
  ];
}

function checkAddresses(config: Layer): ConfigIssue[] {
  const [listen, admin] = [
    ['listen', formatAddress(DEFAULTS.listen)],
    ['adminListen', formatAddress(DEFAULTS.adminListen)],
  ].map(([key = '', otherwise]) => tried(valueAt(config.tree, [key]) ?? otherwise, parseAddress));
  if (listen === undefined || admin === undefined || listen.port === 0) return [];
  if (formatAddress(listen) !== formatAddress(admin)) return [];
  return [newIssue(config, ['adminListen'], `expected an address of its own; ${formatAddress(admin)} is also listen`)];
}

function checkRewrite(config: Layer): ConfigIssue[] {
  const mode = valueAt(config.tree, ['rewrite', 'mode']);
  const said = valueAt(config.tree, ['rewrite', 'prefixes']);
  const list = Array.isArray(said) ? (said as unknown[]) : [];
  if (mode === 'prefixes' && list.length === 0)
    return [newIssue(config, ['rewrite', 'mode'], 'expected rewrite.prefixes with it, one at least')];
  if (mode !== 'prefixes' && list.length > 0)
    return [newIssue(config, ['rewrite', 'prefixes'], 'expected rewrite.mode: prefixes with it')];
  const rules = list.map(ruleOf);
  if (rules.some((rule) => rule === undefined)) return []; // the schema says it
  return ambiguities(rules.filter((rule) => rule !== undefined)).map(({at, key, why}) =>
    newIssue(config, ['rewrite', 'prefixes', at, key], why),
  );
}

function ruleOf(item: unknown): RewriteRule | undefined {
  if (!isRecord(item)) return undefined;
  const [from, to] = [tried(item['from'], parsePrefix), tried(item['to'], parsePrefix)];
  return from === undefined || to === undefined ? undefined : {from, to};
}

function checkOwnCertificates(config: Layer): ConfigIssue[] {
  const path = ['certificates'];
  const said = ['certFile', 'keyFile', 'caFile'].filter((key) => valueAt(config.tree, [...path, key]) !== undefined);
  const issues: ConfigIssue[] = [];
  if (said.length === 1 || said.length === 2) {
    const missing = ['certFile', 'keyFile', 'caFile'].filter((key) => !said.includes(key));
    issues.push(newIssue(config, [...path, said[0] ?? ''], `expected ${missing.join(' and ')} with it`));
  }
  const lifetime = tried(valueAt(config.tree, [...path, 'lifetime']), parseDuration);
  if (lifetime !== undefined && (lifetime < MIN_LIFETIME_MS || lifetime > MAX_LIFETIME_MS))
    issues.push(
      newIssue(
        config,
        [...path, 'lifetime'],
        `expected ${formatDuration(MIN_LIFETIME_MS)} to ${formatDuration(MAX_LIFETIME_MS)}`,
      ),
    );
  return issues;
}

async function checkNamedFiles(config: Layer): Promise<readonly ConfigIssue[]> {
  const isSaid = (path: readonly string[]) => typeof valueAt(config.tree, path) === 'string';
  const [cert, ca, kubeconfig] = [['certificates', 'certFile'], ['certificates', 'caFile'], ['kubeconfig']] as const;
  const checks = [
    ...(isSaid(cert) ? [checkKeyPair(config, cert)] : []),
    ...(isSaid(ca) ? [checkFile(config, ca, checkCertificates)] : []),
    ...(isSaid(kubeconfig) ? [checkFile(config, kubeconfig, () => undefined)] : []),
  ];
  return (await Promise.all(checks)).flat();
}
