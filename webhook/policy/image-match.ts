import {RE2JS} from 're2js';
import {isDigest} from '../../oci/digest.ts';
import {canonicalRegistry, type ImageIdentity} from '../../oci/image-reference.ts';
import {DOCKER_HUB} from '../../oci/reference.ts';
import {globMatches, pathGlobMatches} from './glob.ts';
import type {ImageMatch} from './shape.ts';

/**
 * Whether an image is meant.
 * @param isVouched the registry said that the image's tag is its digest.
 */
export type Matcher = (image: ImageIdentity, isVouched: boolean) => boolean;

/**
 * What a match is for. What loosens takes each part strictly; what refuses takes it widely: a registry without a port is
 * then the host at every port, and a tag counts as it is written, whatever the digest beside it is.
 */
export type Purpose = 'accept' | 'refuse';

/** A part of a match that cannot be compiled. */
export class PatternError extends SyntaxError {
  override readonly name = 'PatternError';
  /** `registry`, `tag.regex`, … */
  readonly part: string;
  constructor(part: string, message: string, options?: ErrorOptions) {
    super(message, options);
    this.part = part;
  }
}

/** @throws {PatternError} */
export function compileMatch(match: ImageMatch, purpose: Purpose): Matcher {
  const parts = [
    ...(match.registry === undefined ? [] : registryMatcher(match.registry, purpose)),
    ...(match.repository === undefined ? [] : repositoryMatcher(match.repository, match.registry)),
    ...(match.tag === undefined ? [] : tagMatcher(match.tag, purpose)),
    ...(match.digest === undefined ? [] : digestMatcher(match.digest)),
  ];
  return (image, isVouched) => parts.every((matches) => matches(image, isVouched));
}

function registryMatcher(pattern: string, purpose: Purpose): Matcher[] {
  if (pattern === '*') return [];
  const [, host = '', port] = /^(.*?)(?::(\d+|\*))?$/s.exec(pattern) ?? [];
  const anyPort = port === '*' || (port === undefined && purpose === 'refuse');
  if (host.startsWith('*.')) {
    if (port !== undefined && port !== '*') readRegistry(`x.y:${port}`, pattern);
    return [subdomainMatcher(readDomain(host.slice(2), pattern), anyPort ? '*' : port)];
  }
  const registry = readRegistry(anyPort ? host : pattern, pattern);
  return [anyPort ? (image) => hostOf(image.registry) === registry : (image) => image.registry === registry];
}

function subdomainMatcher(domain: string, port: string | undefined): Matcher {
  const end = `.${domain}`;
  const wanted = port === undefined || port === '443' ? '' : port;
  return ({registry}) => {
    const host = hostOf(registry);
    return host.endsWith(end) && (port === '*' || registry.slice(host.length + 1) === wanted);
  };
}

/** The domain of a `*.domain`. */
function readDomain(text: string, pattern: string): string {
  // A top-level domain alone is no registry, but `*.corp` is a fair pattern.
  const domain = readRegistry(text.includes('.') ? text : `x.${text}`, pattern);
  if (domain === DOCKER_HUB)
    throw new PatternError('registry', `${quote(pattern)}: Docker Hub is docker.io here, without subdomains`);
  if (/^(?:\[|[\d.]+$)/.test(domain))
    throw new PatternError('registry', `${quote(pattern)}: an address has no subdomains`);
  return text.includes('.') ? domain : text.toLowerCase();
}

function readRegistry(text: string, pattern: string): string {
  if (text.includes('*'))
    throw new PatternError('registry', `${quote(pattern)}: * is allowed alone, as *. in front and as :* at the end`);
  try {
    return canonicalRegistry(text);
  } catch (error) {
    throw new PatternError('registry', `${quote(pattern)} ${(error as Error).message}`, {cause: error});
  }
}

function hostOf(registry: string): string {
  return registry.replace(/:\d+$/, '');
}

const SEGMENT = /^(?:\*\*|[a-z0-9._*-]+)$/;

function repositoryMatcher(pattern: string, registry: string | undefined): Matcher[] {
  if (pattern === '**') return [];
  const segments = pattern.split('/');
  const wrong = segments.find((segment) => !SEGMENT.test(segment) || (segment !== '**' && segment.includes('**')));
  if (wrong !== undefined) throw new PatternError('repository', whyNoSegment(pattern, wrong));
  if (pattern === '*' && registry !== undefined && readRegistryOrNothing(registry) === DOCKER_HUB)
    throw new PatternError('repository', '"*" is not clear for Docker Hub: write library/* for official images, or **');
  const globs = segments.length > 1 && segments.at(-1) === '**' ? [...segments.slice(0, -1), '*', '**'] : segments;
  const matches = pathMatcher(globs);
  if (segments.length > 1) return [({repository}) => matches(repository)];
  // As in image names: at Docker Hub one segment is an official image.
  return [
    (image) =>
      image.registry === DOCKER_HUB
        ? image.repository.startsWith('library/') && matches(image.repository.slice('library/'.length))
        : matches(image.repository),
  ];
}

function whyNoSegment(pattern: string, segment: string): string {
  if (segment.includes('**')) return `${quote(pattern)}: ** stands for whole segments: a/**, a/**/b`;
  if (segment === '') return `${quote(pattern)}: expected segments with single slashes between them`;
  return `${quote(pattern)}: expected segments of a-z 0-9 . _ - and *; registry, tag and digest have fields of their own`;
}

function readRegistryOrNothing(text: string): string | undefined {
  try {
    return canonicalRegistry(text);
  } catch {
    return undefined;
  }
}

function pathMatcher(globs: readonly string[]): (repository: string) => boolean {
  const literal = globs.join('/');
  if (!literal.includes('*')) return (repository) => repository === literal;
  const inside = /^([^*]*\/)\*\/\*\*$/.exec(literal)?.[1];
  if (inside !== undefined) return (repository) => repository.startsWith(inside);
  return (repository) => pathGlobMatches(globs, repository.split('/'));
}

function tagMatcher(pattern: string | {readonly regex: string}, purpose: Purpose): Matcher[] {
  if (pattern === '*') return []; // any tag, and none: an image named by its digest is meant, too (policy-peers §7 18)
  const matches = typeof pattern === 'string' ? tagGlob(pattern) : tagRegex(pattern.regex);
  return [
    ({tag, digest}, isVouched) =>
      tag !== undefined && (purpose === 'refuse' || digest === undefined || isVouched) && matches(tag),
  ];
}

function tagGlob(pattern: string): (tag: string) => boolean {
  if (!/^[a-zA-Z0-9_*][a-zA-Z0-9_.*-]{0,127}$/.test(pattern))
    throw new PatternError('tag', `${quote(pattern)}: expected up to 128 of A-Z a-z 0-9 _ . - and *`);
  return pattern.includes('*') ? (tag) => globMatches(pattern, tag) : (tag) => tag === pattern;
}

/** Instructions of an RE2 expression: `[0-9a-f]{64}` has 66. Time and memory of a match grow with them. */
const MAX_REGEX_SIZE = 1000;

/** RE2: linear in the tag, and in the expression, which is bounded for it. It must match the whole tag. */
function tagRegex(regex: string): (tag: string) => boolean {
  let compiled: RE2JS;
  try {
    compiled = RE2JS.compile(regex);
  } catch (error) {
    const why = (error as Error).message.replace(/^error parsing regexp: /, '');
    throw new PatternError('tag.regex', `${quote(regex)}: not an RE2 expression: ${why}`, {cause: error});
  }
  if (compiled.programSize() > MAX_REGEX_SIZE)
    throw new PatternError('tag.regex', `${quote(regex)}: repeats so much that it would be slow; write smaller counts`);
  return (tag) => compiled.matches(tag);
}

function digestMatcher(digest: string): Matcher[] {
  if (!isDigest(digest))
    throw new PatternError('digest', `${quote(digest)}: expected sha256: and 64, or sha512: and 128 of 0-9a-f`);
  return [(image) => image.digest === digest];
}

function quote(text: string): string {
  return JSON.stringify(text.length > 80 ? `${text.slice(0, 80)}…` : text);
}
