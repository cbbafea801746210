import {isDigest, type Digest} from './digest.ts';
import {DOCKER_HUB, isRepository, isTag, parseRegistry, repositoryAt} from './reference.ts';
import type {RepositoryName} from './source.ts';

/**
 * Which image a reference in a pod means, in its one spelling: what policies are asked about. The registry as
 * `parseRegistry` spells it, Docker Hub's repositories in full, `latest` if neither tag nor digest is said.
 */
export interface ImageIdentity extends RepositoryName {
  readonly tag: string | undefined;
  readonly digest: Digest | undefined;
}

/** Docker Hub under its other names. The kubelet's grammar knows only the first; the others serve the same content. */
const INDEX = 'index.docker.io';
const HUB_ALIASES: ReadonlySet<string> = new Set(['registry-1.docker.io', 'registry.hub.docker.com']);
/** A domain as distribution/reference has it; what of it can be no host `parseRegistry` refuses. */
const DOMAIN =
  /^(?:[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?(?:\.[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?)*|\[[a-fA-F0-9:]+\])(?::[0-9]+)?$/;
const IMAGE_ID = /^(?:[a-f0-9]{64}$|(?:sha256|sha384|sha512|blake3):)/i;
/** Nothing longer can be a reference: name, tag and the longest digest. */
const MAX_LENGTH = 255 + 1 + 128 + 1 + 135;
const LOOPBACK = /^(?:localhost|127\.\d+\.\d+\.\d+|\[::1\])$/;

/**
 * Reads an image reference of a pod as kubelet and containerd do (github.com/distribution/reference v0.6.0). What their
 * versions, other runtimes or a resolver could read in another way is refused, not guessed.
 * @throws {SyntaxError} that says which part is wrong and what to write.
 */
export function parseImageReference(text: string): ImageIdentity {
  if (text === '') throw new SyntaxError('is empty');
  if (text.length > MAX_LENGTH) throw new SyntaxError('is longer than any image reference');
  if (!/^[\x21-\x7e]+$/.test(text)) throw new SyntaxError('has a blank or a character that is not ASCII');
  // containerd looks images up by ID, even by a part of one, where a name finds nothing.
  if (IMAGE_ID.test(text))
    throw new SyntaxError("is an image ID of a node's own; write registry, repository and digest");
  const {path, tag, digest} = splitReference(text);
  const slash = path.indexOf('/');
  const first = slash === -1 ? undefined : path.slice(0, slash);
  const name =
    first === undefined || !isDomain(first) ? hubName(path) : nameAt(readDomain(first), first, path.slice(slash + 1));
  return {...name, tag: tag ?? (digest === undefined ? 'latest' : undefined), digest};
}

/** `registry/repository[:tag][@digest]`, as `parseImageReference` reads it back. */
export function printImageReference({registry, repository, tag, digest}: ImageIdentity): string {
  return `${registry}/${repository}${tag === undefined ? '' : `:${tag}`}${digest === undefined ? '' : `@${digest}`}`;
}

/**
 * A registry in the spelling that identities have.
 * @throws {SyntaxError}
 */
export function canonicalRegistry(text: string): string {
  return readDomain(text);
}

interface Parts {
  readonly path: string;
  readonly tag: string | undefined;
  readonly digest: Digest | undefined;
}

function splitReference(text: string): Parts {
  const at = text.indexOf('@');
  const digest = at === -1 ? undefined : text.slice(at + 1);
  if (digest !== undefined && !isDigest(digest))
    throw new SyntaxError('has no digest after the "@": expected sha256: and 64, or sha512: and 128 of 0-9a-f');
  const named = at === -1 ? text : text.slice(0, at);
  const colon = named.lastIndexOf(':');
  if (colon <= named.lastIndexOf('/')) return {path: named, tag: undefined, digest};
  const tag = named.slice(colon + 1);
  if (!isTag(tag)) throw new SyntaxError('has no tag after the ":": expected up to 128 of A-Z a-z 0-9 _ . -');
  return {path: named.slice(0, colon), tag, digest};
}

/** Whether the first component is a registry (`splitDockerDomain`): what has upper case can be no namespace of Docker Hub. */
function isDomain(first: string): boolean {
  return first === 'localhost' || /[.:]/.test(first) || first.toLowerCase() !== first;
}

function hubName(path: string): RepositoryName {
  return checked(DOCKER_HUB, path.includes('/') ? path : `library/${path}`);
}

function nameAt(registry: string, written: string, repository: string): RepositoryName {
  if (registry !== DOCKER_HUB || repository.includes('/')) return checked(registry, repository);
  if (written === DOCKER_HUB || written === INDEX) return checked(registry, `library/${repository}`);
  throw new SyntaxError(`names no namespace of Docker Hub at ${written}; write docker.io/library/${repository}`);
}

function checked(registry: string, repository: string): RepositoryName {
  if (!isRepository(repository))
    throw new SyntaxError('has no repository name: expected a-z 0-9 with single separators . _ - and slashes');
  try {
    return repositoryAt(registry, repository);
  } catch (error) {
    throw new SyntaxError('has a name of more than 255 characters', {cause: error});
  }
}

function readDomain(text: string): string {
  const host = text.replace(/:\d*$/, '');
  const lower = host.toLowerCase();
  const isHub = lower === DOCKER_HUB || lower === INDEX || HUB_ALIASES.has(lower);
  if (!DOMAIN.test(text)) throw new SyntaxError('has no registry in front: expected host or host:port');
  // Runtimes know these names in this spelling only, and take another one for another registry.
  if ((isHub || lower === 'localhost') && host !== lower) throw new SyntaxError(`spells ${lower} with upper case`);
  if (isHub && host !== text) throw new SyntaxError(`gives a port to ${lower}; write docker.io without`);
  if (host === text && !/[.:]/.test(text) && text !== 'localhost')
    throw new SyntaxError('begins with a registry without a dot, which not all clients take for one');
  if (isHub) return DOCKER_HUB;
  return portOf(text, host, parseHost(text));
}

function parseHost(text: string): string {
  try {
    return parseRegistry(text);
  } catch (error) {
    const what = error instanceof SyntaxError && error.message === 'Not a port' ? 'port' : 'host';
    throw new SyntaxError(`has no valid ${what} in its registry`, {cause: error});
  }
}

/** At a loopback address runtimes speak plain HTTP where no port is said: 443 is another registry there. */
function portOf(text: string, host: string, registry: string): string {
  const canonical = registry.startsWith('[') ? registry.replace(/^\[[^\]]*\]/, ipv6) : registry;
  return text === `${host}:443` && LOOPBACK.test(canonical) ? `${canonical}:443` : canonical;
}

function ipv6(text: string): string {
  return new URL(`http://${text}/`).hostname;
}
