import {isIP} from 'node:net';
import {DOCKER_HUB, isRepository, looksLikeRegistry, parseRegistry, repositoryAt} from './reference.ts';
import type {RepositoryName} from './source.ts';

/** Images under `from` are pulled from under `to`: each a registry, with a path or without. */
export interface RewriteRule {
  readonly from: string;
  readonly to: string;
}

export interface NameMapOptions {
  readonly mode: 'none' | 'node' | 'prefixes';
  /** The agents' endpoint as pods write it: `localhost:5055`. */
  readonly endpoint: string;
  /** In mode `prefixes`; free of `ambiguities`. */
  readonly prefixes: readonly RewriteRule[];
}

/**
 * What images are called upstream, and what they are called in pods. Both ways, so that whoever judges a pod needs to
 * trust no note about what its images were called before: for every name n, `canonical(pulled(n)) = canonical(n)`.
 */
export interface NameMap {
  /**
   * The upstream's own name of what a runtime pulls under this one.
   * @throws {SyntaxError} for a name at the node's endpoint that does not say which registry is meant.
   */
  canonical(name: RepositoryName): RepositoryName;
  /** The name to pull under. The same where there is no other, or where the other could not be written in a pod. */
  pulled(name: RepositoryName): RepositoryName;
}

/** Many clients hold host + "/" + name to 255 characters. */
const MAX_NAME = 255;
/** Trow's form, which agents also read (design §4.1). */
const TROW = 'f/';

export function newNameMap({mode, endpoint, prefixes}: NameMapOptions): NameMap {
  const port = endpoint.slice(endpoint.lastIndexOf(':') + 1);
  const rules = mode === 'prefixes' ? prefixes : [];
  const canonical = (name: RepositoryName): RepositoryName => {
    const said = isAgent(name.registry, port) ? behindEndpoint(name) : name;
    const rule = rules.find(({to}) => isUnder(said, to));
    return rule === undefined ? said : (moved(said, rule.to, rule.from) ?? said);
  };
  return {
    canonical,
    pulled: (name) => {
      const own = canonical(name);
      if (mode === 'node') return nameAt(endpoint, `${own.registry}/${own.repository}`) ?? own;
      const rule = rules.find(({from}) => isUnder(own, from));
      return rule === undefined ? own : (moved(own, rule.from, rule.to) ?? own);
    },
  };
}

/**
 * An agent answers at every loopback address with its port, whichever one a pod writes, and whether or not anything is
 * rewritten: a policy about the upstream must hold there, too.
 */
function isAgent(registry: string, port: string): boolean {
  const host = registry.endsWith(`:${port}`) ? registry.slice(0, -port.length - 1) : undefined;
  if (host === undefined) return false;
  // All of these are the machine itself to a runtime; 0.0.0.0 and :: connect to loopback on Linux.
  return host === 'localhost' || host.endsWith('.localhost') || isLoopbackAddress(host);
}

function isLoopbackAddress(host: string): boolean {
  if (isIP(host) === 4) return host.startsWith('127.') || host === '0.0.0.0';
  if (!host.startsWith('[')) return false;
  const address = URL.parse(`http://${host}`)?.hostname ?? '';
  return address === '[::1]' || address === '[::]' || /^\[::(?:ffff:)?(?:7f[0-9a-f]{2}:|0:0\])/.test(address);
}

/** What the agent makes of the path: the registry is in front of it (design §4.1). @throws {SyntaxError} */
function behindEndpoint({registry, repository}: RepositoryName): RepositoryName {
  const path = repository.startsWith(TROW) ? repository.slice(TROW.length) : repository;
  const slash = path.indexOf('/');
  const first = path.slice(0, Math.max(0, slash));
  if (!looksLikeRegistry(first))
    throw new SyntaxError(
      `is at the node's own endpoint and does not say which registry is meant; write ${registry}/docker.io/library/… or the image's own name`,
    );
  try {
    return repositoryAt(parseRegistry(first), path.slice(slash + 1));
  } catch (error) {
    throw new SyntaxError("is at the node's own endpoint and names no image of a registry behind it", {cause: error});
  }
}

function isUnder({registry, repository}: RepositoryName, prefix: string): boolean {
  return `${registry}/${repository}`.startsWith(`${prefix}/`);
}

/** `undefined` where there is no such name, or where it would not lead back. */
function moved({registry, repository}: RepositoryName, from: string, to: string): RepositoryName | undefined {
  const [, host = '', path = ''] = /^([^/]+)(?:\/(.*))?$/.exec(to) ?? [];
  const rest = `${registry}/${repository}`.slice(from.length + 1);
  return nameAt(host, path === '' ? rest : `${path}/${rest}`);
}

function nameAt(registry: string, repository: string): RepositoryName | undefined {
  // What Docker Hub would complete by itself is another name.
  if (registry === DOCKER_HUB && !repository.includes('/')) return undefined;
  const fits = registry.length + 1 + repository.length <= MAX_NAME;
  return fits && isRepository(repository) ? {registry, repository} : undefined;
}

/** Reads `docker.io`, `registry.example:5000/hub`. @returns in one spelling. @throws {SyntaxError} */
export function parsePrefix(text: string): string {
  const [, host = '', path] = /^([^/]*)(?:\/(.*?))?\/?$/s.exec(text) ?? [];
  // A registry that pods cannot name: their grammar would take it for a namespace of Docker Hub.
  if (!looksLikeRegistry(host)) throw new SyntaxError('Not a registry as pods name it');
  const registry = parseRegistry(host);
  if (path === undefined || path === '') return registry;
  if (!isRepository(path)) throw new SyntaxError('Not a path');
  return `${registry}/${path}`;
}

/** Reads the agents' endpoint as pods write it: a loopback address with a port. @throws {SyntaxError} */
export function parseNodeEndpoint(text: string): string {
  const registry = parseRegistry(text);
  const [, port = ''] = /:(\d+)$/.exec(registry) ?? [];
  if (port === '' || !isAgent(registry, port)) throw new SyntaxError('Not a loopback address with a port');
  return registry;
}

/** Why rules cannot be reversed. */
export interface Ambiguity {
  readonly at: number;
  readonly key: 'from' | 'to';
  readonly why: string;
}

/**
 * Rules are refused where some name would have two meanings: prefixes that overlap, on either side or across, and
 * Docker Hub as a whole for a target, where names of one part are not their own.
 */
export function ambiguities(rules: readonly RewriteRule[]): readonly Ambiguity[] {
  return rules.flatMap((rule, at) => [
    ...hubAsTarget(rule, at),
    ...rules.slice(0, at + 1).flatMap((other, i) => overlaps([rule, at], [other, i])),
  ]);
}

function hubAsTarget({to}: RewriteRule, at: number): Ambiguity[] {
  if (to !== DOCKER_HUB) return [];
  return [{at, key: 'to', why: 'expected a namespace of Docker Hub such as docker.io/acme, not all of it'}];
}

function overlaps([rule, at]: [RewriteRule, number], [other, i]: [RewriteRule, number]): Ambiguity[] {
  const found: Ambiguity[] = [];
  const tell = (key: Ambiguity['key'], place: number, otherKey: string): void => {
    const why = `expected prefixes that do not overlap: an image under both could not be told apart; see rewrite.prefixes[${String(i)}].${otherKey}`;
    found.push({at: place, key, why});
  };
  if (at !== i && overlap(rule.from, other.from)) tell('from', at, 'from');
  if (at !== i && overlap(rule.to, other.to)) tell('to', at, 'to');
  if (overlap(rule.to, other.from)) tell('to', at, 'from');
  if (at !== i && overlap(rule.from, other.to)) tell('from', at, 'to');
  return found;
}

function overlap(a: string, b: string): boolean {
  return `${a}/`.startsWith(`${b}/`) || `${b}/`.startsWith(`${a}/`);
}
