/** What a report says of the values of all rounds. */
export interface Summary {
  readonly median: number;
  readonly min: number;
  readonly max: number;
  readonly count: number;
}

/** @throws {RangeError} of no values. */
export function summarise(values: readonly number[]): Summary {
  if (values.length === 0) throw new RangeError('No values to summarise');
  return {median: median(values), min: Math.min(...values), max: Math.max(...values), count: values.length};
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  const upper = sorted[middle] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? upper) + upper) / 2;
}
