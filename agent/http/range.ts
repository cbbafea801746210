/** What a Range header asks of a representation of a known size. */
export type Range =
  | {readonly kind: 'full'}
  | {readonly kind: 'part'; readonly start: number; /** Exclusive. */ readonly end: number}
  | {readonly kind: 'unsatisfiable'};

/** Two numbers of this many bytes' worth of digits, and then some: what is longer is no range, and costly to look at. */
const MAX_HEADER = 64;
const FULL: Range = {kind: 'full'};
const UNSATISFIABLE: Range = {kind: 'unsatisfiable'};

/**
 * One range of bytes (P-09, A-080). Several are answered in full, which RFC 9110 allows and clients that ask for
 * several take; so is what is no byte range. `last < first` is 416 (F-006).
 * @see https://www.rfc-editor.org/rfc/rfc9110#section-14.2
 */
export function parseRange(header: string | undefined, sizeBytes: number): Range {
  if (header === undefined || header.length > MAX_HEADER) return FULL;
  const [, first, last] = /^bytes=\s*(\d*)\s*-\s*(\d*)\s*$/i.exec(header) ?? [];
  if (first === undefined || last === undefined || (first === '' && last === '')) return FULL;
  if (first === '')
    return Number(last) === 0 || sizeBytes === 0
      ? UNSATISFIABLE
      : part(Math.max(0, sizeBytes - Number(last)), sizeBytes, sizeBytes);
  const end = last === '' ? sizeBytes : Number(last) + 1;
  return part(Number(first), end, sizeBytes);
}

function part(start: number, end: number, sizeBytes: number): Range {
  // P-10: `bytes=0-` of an empty object is the whole of it.
  if (start === 0 && sizeBytes === 0) return FULL;
  if (start >= sizeBytes || end <= start) return UNSATISFIABLE;
  return {kind: 'part', start, end: Math.min(end, sizeBytes)};
}

/** Whether an If-None-Match names this digest: quoted or not, weak, in a list, or `*`. */
export function matchesEtag(header: string | undefined, digest: string): boolean {
  if (header === undefined) return false;
  return header.split(',').some((tag) => {
    const bare = tag
      .trim()
      .replace(/^W\//, '')
      .replace(/^"(.*)"$/, '$1');
    return bare === '*' || bare === digest;
  });
}
