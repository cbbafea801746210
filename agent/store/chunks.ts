export function bytesOf(chunks: readonly Uint8Array[]): number {
  return chunks.reduce((sum, {length}) => sum + length, 0);
}

/** What is left of them when `count` bytes have been written. */
export function restAfter(chunks: readonly Uint8Array[], count: number): readonly Uint8Array[] {
  let [at, left] = [0, count];
  for (let chunk = chunks[at]; chunk !== undefined && chunk.length <= left; chunk = chunks[at]) {
    left -= chunk.length;
    at++;
  }
  const partly = chunks[at];
  return partly === undefined ? [] : [partly.subarray(left), ...chunks.slice(at + 1)];
}
