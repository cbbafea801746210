/** What a 401 asks for. Parameter names are in lower case. */
export interface Challenge {
  /** In lower case: `bearer`, `basic`, `negotiate`… */
  readonly scheme: string;
  readonly params: ReadonlyMap<string, string>;
}

const TOKEN = "[!#$%&'*+.^_`|~0-9A-Za-z-]+";
const PARAM = new RegExp(`^(${TOKEN})\\s*=\\s*(?:"((?:[^"\\\\]|\\\\.)*)"|([^\\s,"]+))`);
const SCHEME = new RegExp(`^(${TOKEN})(?:\\s+|$|(?=,))`);
const TOKEN68 = /^[A-Za-z0-9._~+/-]+=*(?=\s*(?:,|$))/;
/** More than any registry sends; keeps a hostile header cheap. */
const MAX_HEADER = 16_384;
const MAX_CHALLENGES = 16;

/**
 * Reads WWW-Authenticate: several challenges in one header or several headers, commas in quotes, quoted or bare
 * values (C-001). What cannot be read ends the header it is in; what was read before it counts.
 * @see https://www.rfc-editor.org/rfc/rfc9110#section-11.6.1
 */
export function parseChallenges(header: string | readonly string[] | undefined): Challenge[] {
  const lines = header === undefined ? [] : typeof header === 'string' ? [header] : header;
  return lines.flatMap((line) => parseLine(line.slice(0, MAX_HEADER))).slice(0, MAX_CHALLENGES);
}

function parseLine(line: string): Challenge[] {
  const found: {scheme: string; params: Map<string, string>}[] = [];
  let rest = skip(line);
  while (rest !== '') {
    const param = PARAM.exec(rest);
    if (param && found.length > 0) {
      const [whole, name = '', quoted, bare = ''] = param;
      const params = found.at(-1)?.params;
      const key = name.toLowerCase();
      if (!params?.has(key)) params?.set(key, quoted === undefined ? bare : quoted.replaceAll(/\\(.)/g, '$1'));
      rest = skip(rest.slice(whole.length));
      continue;
    }
    const scheme = SCHEME.exec(rest);
    if (!scheme) break;
    found.push({scheme: (scheme[1] ?? '').toLowerCase(), params: new Map()});
    rest = skip(rest.slice(scheme[0].length));
    const blob = PARAM.test(rest) ? undefined : TOKEN68.exec(rest)?.[0];
    // A token68 (Negotiate) is of no use to us; a lone word is the next scheme's name.
    if (blob !== undefined && /[=/+]/.test(blob)) rest = skip(rest.slice(blob.length));
  }
  return found;
}

/** Leading blanks and empty list elements are allowed. */
function skip(text: string): string {
  return text.replace(/^[\s,]+/, '');
}

/** The scopes a Bearer challenge asks for, without repetition (C-004). */
export function scopesOf(challenge: Challenge): string[] {
  return [...new Set((challenge.params.get('scope') ?? '').split(/\s+/).filter((scope) => scope !== ''))];
}
