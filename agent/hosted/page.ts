/** The entries after `after`, in ASCII order, `limit` at most. */
export function pageOf(
  names: readonly string[],
  {after, limit}: {readonly after: string; readonly limit: number},
): readonly string[] {
  return names
    .filter((name) => name > after)
    .sort()
    .slice(0, limit);
}
