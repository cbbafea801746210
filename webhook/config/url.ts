/**
 * Reads the URL at which the API server reaches this webhook from outside a cluster. It takes https only, and nothing
 * behind the path: that is what the API server itself insists on.
 * @returns it without a slash at the end.
 * @throws {SyntaxError}
 */
export function parseWebhookUrl(text: string): string {
  if (/[^!-~]|[\\@?#%]/.test(text)) throw new SyntaxError('User information, query or a character that is not allowed');
  const url = URL.parse(text);
  if (url === null || !/^https:\/\/[^/]/i.test(text)) throw new SyntaxError('Not an https URL');
  return url.href.replace(/\/+$/, '');
}
