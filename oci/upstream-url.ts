/**
 * Reads the base URL of a registry: `https://host[:port][/path]`, or `http://…` for those who mean it. No user
 * information, query, fragment or `/v2`, which would go astray in every request.
 * @returns it without a slash at the end.
 * @throws {SyntaxError} whose message never holds the URL: it may have a password in it.
 */
export function parseUpstreamUrl(text: string): string {
  // The parser drops or bends these; a URL that holds them is not what its writer sees.
  if (/[^!-~]|[\\@?#%]/.test(text)) throw new SyntaxError('User information, query or a character that is not allowed');
  const url = URL.parse(text);
  if (url === null || !/^https?:\/\/[^/]/i.test(text)) throw new SyntaxError('Not an http or https URL');
  if (/\/v2\/?$/.test(url.pathname)) throw new SyntaxError('A URL that ends in /v2');
  if (/(?:^|\/)\.{1,2}(?:\/|$)/.test(text.replace(/^https?:\/\//i, ''))) throw new SyntaxError('Dots in the path');
  return url.href.replace(/\/+$/, '');
}
