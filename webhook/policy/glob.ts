/**
 * Matches in time linear in each: `*` stands for any characters, everything else for itself. The last star alone is
 * tried again, so that many stars cost no more than one.
 */
export function globMatches(glob: string, text: string): boolean {
  let [at, seen, star, mark] = [0, 0, -1, 0];
  while (seen < text.length) {
    if (glob[at] === '*') {
      [star, mark] = [at, seen];
      at++;
    } else if (glob[at] === text[seen]) {
      at++;
      seen++;
    } else if (star === -1) {
      return false;
    } else {
      mark++;
      [at, seen] = [star + 1, mark];
    }
  }
  return isRest(glob, at);
}

function isRest(glob: string, at: number): boolean {
  for (let i = at; i < glob.length; i++) if (glob[i] !== '*') return false;
  return true;
}

/** The same over segments: `**` stands for any number of them, none included; `*` works within one. */
export function pathGlobMatches(globs: readonly string[], segments: readonly string[]): boolean {
  let [at, seen, star, mark] = [0, 0, -1, 0];
  while (seen < segments.length) {
    const glob = globs[at];
    if (glob === '**') {
      [star, mark] = [at, seen];
      at++;
    } else if (glob !== undefined && globMatches(glob, segments[seen] ?? '')) {
      at++;
      seen++;
    } else if (star === -1) {
      return false;
    } else {
      mark++;
      [at, seen] = [star + 1, mark];
    }
  }
  return globs.slice(at).every((glob) => glob === '**');
}
