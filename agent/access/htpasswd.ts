/** User → bcrypt hash. */
export type Users = ReadonlyMap<string, string>;

/** Far more people and robots than one registry has; every one costs a look when the file changes. */
const MAX_USERS = 10_000;
const MAX_USER = 255;
/** Of 60 characters: version, cost, 22 of salt and 31 of hash. */
const BCRYPT = /^\$2[aby]\$(\d\d)\$[./A-Za-z0-9]{53}$/;
/** The specification's least; beyond the most, one login would keep a thread busy for seconds. */
const [MIN_COST, MAX_COST] = [4, 14];

/**
 * Reads a file that `htpasswd -B` writes: a `user:hash` a line. Empty lines and those that begin with `#` are skipped.
 * @throws {SyntaxError} that names the first line that is wrong, and never quotes it.
 */
export function parseHtpasswd(text: string): Users {
  const users = new Map<string, string>();
  for (const [i, line] of text.split('\n').entries()) {
    const entry = line.trim();
    if (entry === '' || entry.startsWith('#')) continue;
    const {user, hash} = parseLine(entry, i + 1);
    if (users.has(user)) throw wrong(i + 1, 'expected each user once');
    users.set(user, hash);
    if (users.size > MAX_USERS) throw wrong(i + 1, `expected ${String(MAX_USERS)} users at most`);
  }
  return users;
}

function parseLine(entry: string, line: number): {user: string; hash: string} {
  const colon = entry.indexOf(':');
  if (colon < 1) throw wrong(line, 'expected user:hash');
  const [user, hash] = [entry.slice(0, colon), entry.slice(colon + 1)];
  if (!isUser(user)) throw wrong(line, 'expected a user name of at most 255 printable characters');
  const [, cost] = BCRYPT.exec(hash) ?? [];
  if (cost === undefined) throw wrong(line, 'expected a bcrypt hash ($2y$…), as "htpasswd -B" makes it');
  if (Number(cost) < MIN_COST || Number(cost) > MAX_COST)
    throw wrong(line, `expected a bcrypt cost from ${String(MIN_COST)} to ${String(MAX_COST)}; it is ${cost}`);
  return {user, hash};
}

/** Whether it can be said in a Basic header, a log and a file of users alike. */
export function isUser(text: string): boolean {
  return text.length >= 1 && text.length <= MAX_USER && /^[^\p{C}\p{Z}:]+(?: [^\p{C}\p{Z}:]+)*$/u.test(text);
}

function wrong(line: number, what: string): SyntaxError {
  return new SyntaxError(`line ${String(line)}: ${what}`);
}
