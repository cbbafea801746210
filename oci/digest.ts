import {createHash, type Hash} from 'node:crypto';

/** A digest whose algorithm is registered and whose encoded part has that algorithm's form: safe in paths and URLs. */
export type Digest = `sha256:${string}` | `sha512:${string}`;
export type Algorithm = 'sha256' | 'sha512';

const DIGEST = /^(?:sha256:[a-f0-9]{64}|sha512:[a-f0-9]{128})$/;

/** @see https://github.com/opencontainers/image-spec/blob/v1.1.1/descriptor.md#digests */
export function isDigest(text: string): text is Digest {
  return DIGEST.test(text);
}

/** @throws {SyntaxError} if `text` is not a digest of a registered algorithm. */
export function parseDigest(text: string): Digest {
  if (!isDigest(text)) throw new SyntaxError('Not a sha256 or sha512 digest');
  return text;
}

/** The digest's two parts; `hex` is lower case. */
export function splitDigest(digest: Digest): {readonly algorithm: Algorithm; readonly hex: string} {
  const colon = digest.indexOf(':');
  return {algorithm: digest.slice(0, colon) as Algorithm, hex: digest.slice(colon + 1)}; // held by the type
}

/** A hash whose result `finishDigest` turns into a digest of the same algorithm as `like`. */
export function newHash(like: Digest): Hash {
  return createHash(splitDigest(like).algorithm);
}

export function digestOf(bytes: Uint8Array, algorithm: Algorithm = 'sha256'): Digest {
  return `${algorithm}:${createHash(algorithm).update(bytes).digest('hex')}`;
}
