import {createHash} from 'node:crypto';
import {request, type Agent, type IncomingHttpHeaders, type IncomingMessage} from 'node:http';
import {setTimeout as delay} from 'node:timers/promises';

export interface AskOptions {
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** A keep-alive pool; without one each request has its own connection. */
  readonly agent?: Agent;
  /** Leaves after so many bytes of the body. */
  readonly leaveAfter?: number;
  /** Reads no faster than this. */
  readonly bytesPerSecond?: number;
  /** Keeps the body's bytes; large ones are only hashed otherwise. @default true */
  readonly keep?: boolean;
}

/** What came back, whole or not. */
export interface Answer {
  /** 0 if the connection failed before any. */
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
  readonly bodyBytes: number;
  /** SHA-256 of the body as far as it came. */
  readonly digest: string;
  /** The body came to its proper end. */
  readonly complete: boolean;
  /** Of the connection, e.g. `ECONNRESET` (also Node's word for an early FIN). */
  readonly error: string | undefined;
}

/** One GET (or another method) of a raw path, not normalised by a URL parser. Never rejects. */
export function ask(address: string, path: string, options: AskOptions = {}): Promise<Answer> {
  const [host, port] = splitAddress(address);
  return new Promise((resolve) => {
    const req = request({
      host,
      port,
      path,
      method: options.method ?? 'GET',
      headers: {...options.headers},
      agent: options.agent ?? false,
    });
    req.once('response', (res) => void read(res, options).then(resolve));
    req.once('error', (error: NodeJS.ErrnoException) => {
      resolve(failed(error.code ?? error.message));
    });
    req.end();
  });
}

async function read(res: IncomingMessage, {leaveAfter, bytesPerSecond, keep = true}: AskOptions): Promise<Answer> {
  const hash = createHash('sha256');
  const chunks: Buffer[] = [];
  let bodyBytes = 0;
  let error: string | undefined;
  try {
    for await (const chunk of res as AsyncIterable<Buffer>) {
      hash.update(chunk);
      bodyBytes += chunk.length;
      if (keep) chunks.push(chunk);
      if (leaveAfter !== undefined && bodyBytes >= leaveAfter) break;
      if (bytesPerSecond !== undefined) await delay((chunk.length / bytesPerSecond) * 1000);
    }
  } catch (thrown) {
    error = (thrown as NodeJS.ErrnoException).code ?? String(thrown);
  }
  res.destroy();
  const {statusCode: status = 0, headers} = res;
  return {
    status,
    headers,
    body: Buffer.concat(chunks),
    bodyBytes,
    digest: `sha256:${hash.digest('hex')}`,
    complete: res.complete && error === undefined,
    error,
  };
}

function failed(error: string): Answer {
  return {status: 0, headers: {}, body: Buffer.alloc(0), bodyBytes: 0, digest: '', complete: false, error};
}

function splitAddress(address: string): [string, number] {
  const colon = address.lastIndexOf(':');
  return [address.slice(0, colon), Number(address.slice(colon + 1))];
}
