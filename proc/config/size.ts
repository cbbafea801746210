/** Powers of 1000 and 1024, as the IEC writes them. */
const UNITS: ReadonlyMap<string, number> = new Map([
  ['', 1],
  ['B', 1],
  ['kB', 1000],
  ['KB', 1000],
  ['MB', 1000 ** 2],
  ['GB', 1000 ** 3],
  ['TB', 1000 ** 4],
  ['KiB', 1024],
  ['MiB', 1024 ** 2],
  ['GiB', 1024 ** 3],
  ['TiB', 1024 ** 4],
]);

/**
 * Reads `50GiB`, `5GB`, `1.5TiB` or `1024` as bytes.
 * @throws {SyntaxError} if it is none, or more than can be counted exactly (2^53).
 */
export function parseSize(text: string): number {
  const [, digits = '', unit = ''] = /^(\d{1,16}(?:\.\d{1,6})?) ?([a-zA-Z]*)$/.exec(text) ?? [];
  const factor = UNITS.get(unit);
  const bytes = Math.floor(Number(digits) * (factor ?? Number.NaN));
  if (digits === '' || !Number.isSafeInteger(bytes)) throw new SyntaxError('Not a size');
  return bytes;
}

/** The shortest text that `parseSize` reads back exactly. */
export function formatSize(bytes: number): string {
  for (const unit of ['TiB', 'GiB', 'MiB', 'KiB', 'TB', 'GB', 'MB']) {
    const factor = UNITS.get(unit) ?? 1;
    if (bytes >= factor && bytes % factor === 0) return `${String(bytes / factor)}${unit}`;
  }
  return String(bytes);
}
