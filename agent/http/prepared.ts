import {type OutgoingHttpHeaders, type ServerResponse, validateHeaderName, validateHeaderValue} from 'node:http';

/** The head of a 200 that is given again and again. */
export interface PreparedHead {
  readonly fields: OutgoingHttpHeaders;
  /** Status line and fields as they leave, each with its CRLF. */
  readonly text: string;
}

/** @param fields with a Content-Length. @throws {TypeError} where a name or a value cannot be sent. */
export function prepareHead(fields: OutgoingHttpHeaders & {readonly 'content-length': number}): PreparedHead {
  let text = 'HTTP/1.1 200 OK\r\n';
  for (const [name, value] of Object.entries(fields)) {
    validateHeaderName(name);
    validateHeaderValue(name, String(value)); // a media type comes from who made the image
    text += `${name}: ${String(value)}\r\n`;
  }
  return {fields, text};
}

/** What Node keeps of an answer: its head, from when it is made. It has no public name. */
type Headed = ServerResponse & {_header: string | null};

/**
 * As `res.writeHead(200, …)`, which looks each name and each value through for each answer: that took a sixth of a small
 * one's time (docs/performance.md). The same bytes, which prepared.test.ts holds it to, where the connection stays open;
 * else that is done.
 */
export function writePrepared(res: ServerResponse, {fields, text}: PreparedHead): void {
  if (res.shouldKeepAlive && res.req.httpVersionMinor === 1 && (res as Headed)._header === null) {
    res.statusCode = 200;
    (res as Headed)._header = `${text}Date: ${dateNow()}\r\nConnection: keep-alive\r\n\r\n`;
  } else res.writeHead(200, fields);
}

let second = 0;
let date = '';

/** As HTTP has it (RFC 9110 §5.6.7), made once a second. */
function dateNow(): string {
  const now = Math.floor(Date.now() / 1000);
  if (now !== second) [second, date] = [now, new Date(now * 1000).toUTCString()];
  return date;
}
