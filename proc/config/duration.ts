const UNITS_MS: ReadonlyMap<string, number> = new Map([
  ['w', 7 * 86_400_000],
  ['d', 86_400_000],
  ['h', 3_600_000],
  ['m', 60_000],
  ['s', 1000],
  ['ms', 1],
]);
/** Ten years: more is a slip of the finger. */
const MAX_MS = 3650 * 86_400_000;

/**
 * Reads `30s`, `5m`, `12h`, `30d`, `1w`, `500ms` or `1h30m` as milliseconds.
 * @throws {SyntaxError} if it is none (a unit must be said, also with 0), or more than ten years.
 */
export function parseDuration(text: string): number {
  if (!/^(?:\d{1,9}(?:ms|[wdhms]))+$/.test(text) || text.length > 32) throw new SyntaxError('Not a duration');
  let totalMs = 0;
  for (const [, count, unit = ''] of text.matchAll(/(\d+)(ms|[wdhms])/g))
    totalMs += Number(count) * (UNITS_MS.get(unit) ?? 0);
  if (totalMs > MAX_MS) throw new SyntaxError('Too long a duration');
  return totalMs;
}

/** In the largest unit that `parseDuration` reads back exactly. */
export function formatDuration(ms: number): string {
  if (ms === 0) return '0s';
  for (const [unit, unitMs] of UNITS_MS) {
    if (unit !== 'w' && ms % unitMs === 0) return `${String(ms / unitMs)}${unit}`;
  }
  return `${String(ms)}ms`;
}
