import {isDigest, type Digest} from './digest.ts';
import type {RepositoryName} from './source.ts';

/** One component of a repository name (A-010). */
const COMPONENT = '[a-z0-9]+(?:(?:\\.|_|__|-+)[a-z0-9]+)*';
const REPOSITORY = new RegExp(`^${COMPONENT}(?:/${COMPONENT})*$`);
const TAG = /^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}$/;
const LABEL = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/;
const IPV4 = /^(?:(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)(?:\.(?!$)|$)){4}$/;
/** Many clients hold host + "/" + name to 255 characters (A-010). */
const MAX_NAME = 255;

export const DOCKER_HUB = 'docker.io';
/** One registry under three names (C-030). */
const DOCKER_HUB_NAMES: ReadonlySet<string> = new Set([DOCKER_HUB, 'index.docker.io', 'registry-1.docker.io']);

/** @see https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md#pulling-manifests */
export function isRepository(text: string): boolean {
  return text.length <= MAX_NAME && REPOSITORY.test(text);
}

export function isTag(text: string): boolean {
  return TAG.test(text);
}

/**
 * Reads a registry as clients name it and gives it one spelling: lower case, no default port, Docker Hub as
 * `docker.io`. Addresses only in their plain notation: what a resolver might take for one in another is refused
 * (B-023, D-012).
 * @returns `host[:port]`
 * @throws {SyntaxError}
 */
export function parseRegistry(text: string): string {
  const {host, port} = splitHostPort(text.toLowerCase());
  if (!isHost(host)) throw new SyntaxError('Not a registry host');
  if (port !== '' && !(/^[1-9]\d{0,4}$/.test(port) && Number(port) <= 65_535)) throw new SyntaxError('Not a port');
  const registry = port === '' || port === '443' ? host : `${host}:${port}`;
  return DOCKER_HUB_NAMES.has(registry) ? DOCKER_HUB : registry;
}

/** `host`, `host:port` or `[v6]:port`; brackets stay with the host. */
function splitHostPort(text: string): {host: string; port: string} {
  const [, host = '', port = ''] = /^(\[[^\]]*\]|[^:]*)(?::(.*))?$/s.exec(text) ?? [];
  if (text.endsWith(':')) throw new SyntaxError('Not a port');
  return {host, port};
}

function isHost(host: string): boolean {
  if (host.startsWith('[')) return isIpv6(host.slice(1, -1));
  if (host.length === 0 || host.length > 253) return false;
  const labels = host.split('.');
  // A last label that is a number makes resolvers read an address: then it must be a plain one.
  if (/^(?:\d+|0x[0-9a-f]*)$/.test(labels.at(-1) ?? '')) return IPV4.test(host);
  return labels.every((label) => LABEL.test(label));
}

/** Without a zone; by the platform's own parser. */
function isIpv6(text: string): boolean {
  return /^[0-9a-f:.]+$/.test(text) && URL.canParse(`http://[${text}]/`);
}

/** Whether a first path component or the part before a slash is a registry rather than a part of a name (design §4.1 b). */
export function looksLikeRegistry(component: string): boolean {
  return component.includes('.') || component.includes(':') || component === 'localhost';
}

/**
 * The repository as its registry knows it: Docker Hub's official images live under `library/` (P-14).
 * @throws {SyntaxError}
 */
export function repositoryAt(registry: string, repository: string): RepositoryName {
  const full =
    registry === DOCKER_HUB && repository !== '' && !repository.includes('/') ? `library/${repository}` : repository;
  if (!isRepository(full) || registry.length + 1 + full.length > MAX_NAME)
    throw new SyntaxError('Not a repository name');
  return {registry, repository: full};
}

/** An image as people write it: `alpine`, `ghcr.io/x/y:tag`, `host:5000/x@sha256:…`. Tag `latest` if nothing is said. */
export interface ImageReference {
  readonly name: RepositoryName;
  readonly tag: string | undefined;
  readonly digest: Digest | undefined;
}

/** @throws {SyntaxError} that says which part is wrong. */
export function parseImage(text: string): ImageReference {
  const [beforeDigest = '', digest, ...rest] = text.split('@');
  if (rest.length > 0 || (digest !== undefined && !isDigest(digest)))
    throw new SyntaxError(`Not a digest after the "@": ${quote(text)}`);
  const colon = beforeDigest.lastIndexOf(':');
  const tagged = colon > beforeDigest.lastIndexOf('/');
  const tag = tagged ? beforeDigest.slice(colon + 1) : undefined;
  if (tag !== undefined && !isTag(tag)) throw new SyntaxError(`Not a tag after the ":": ${quote(text)}`);
  const path = tagged ? beforeDigest.slice(0, colon) : beforeDigest;
  const slash = path.indexOf('/');
  const first = slash === -1 ? '' : path.slice(0, slash);
  try {
    const name = looksLikeRegistry(first)
      ? repositoryAt(parseRegistry(first), path.slice(slash + 1))
      : repositoryAt(DOCKER_HUB, path);
    return {name, tag: tag ?? (digest === undefined ? 'latest' : undefined), digest};
  } catch (error) {
    throw new SyntaxError(`Not an image name: ${quote(text)}`, {cause: error});
  }
}

/** The image in full, as `parseImage` reads it back. */
export function formatImage({name, tag, digest}: ImageReference): string {
  return `${name.registry}/${name.repository}${tag === undefined ? '' : `:${tag}`}${digest === undefined ? '' : `@${digest}`}`;
}

function quote(text: string): string {
  return JSON.stringify(text.slice(0, MAX_NAME));
}
