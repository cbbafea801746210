import type {IncomingMessage} from 'node:http';

/**
 * etcd keeps objects of 1.5 MiB, an update holds one twice, and the API server writes `<` and its like as six characters.
 * What is larger than this is a failure, which some of our entries let pass: a pod must not be made so large.
 */
export const MAX_BODY = 20 * 1024 * 1024;
/** Objects of the API are some ten deep. */
const MAX_DEPTH = 100;

/** The request cannot be read. */
export class BodyError extends Error {
  override readonly name = 'BodyError';
  readonly status: 400 | 413 | 415;
  constructor(status: BodyError['status'], message: string) {
    super(message);
    this.status = status;
  }
}

/** @throws {BodyError} for what is no JSON, too large or too deep; the request's own error if it breaks off. */
export async function readJson(req: IncomingMessage): Promise<unknown> {
  const type = req.headers['content-type'] ?? '';
  if (!/^application\/json\s*(?:;|$)/i.test(type)) throw new BodyError(415, 'Expected content of application/json');
  const bytes = await readBounded(req);
  if (isTooDeep(bytes)) throw new BodyError(400, `Expected JSON of at most ${String(MAX_DEPTH)} levels`);
  try {
    return JSON.parse(bytes.toString('utf8'));
  } catch {
    throw new BodyError(400, 'Expected JSON'); // the engine's message would quote the body
  }
}

function readBounded(req: IncomingMessage): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const tooLarge = (): void => reject(new BodyError(413, `Expected at most ${String(MAX_BODY / 1024 ** 2)} MiB`));
    const announced = Number(req.headers['content-length'] ?? 0);
    if (!(announced <= MAX_BODY)) return tooLarge();
    const chunks: Buffer[] = [];
    let size = 0;
    req.on('data', (chunk: Buffer) => {
      size += chunk.length;
      if (size <= MAX_BODY) chunks.push(chunk);
      else tooLarge();
    });
    req.on('end', () => resolve(chunks.length === 1 ? (chunks[0] ?? Buffer.alloc(0)) : Buffer.concat(chunks)));
    req.on('error', reject);
    // After the end it says nothing any more.
    req.on('close', () => reject(Object.assign(new Error('The caller left'), {code: 'ECONNRESET'})));
  });
}

const [QUOTE, BACKSLASH, OPEN_LIST, CLOSE_LIST, OPEN, CLOSE] = [0x22, 0x5c, 0x5b, 0x5d, 0x7b, 0x7d];

/** Brackets that are open at the same time; those in strings do not count. */
function isTooDeep(bytes: Buffer): boolean {
  let depth = 0;
  for (let i = 0; i < bytes.length; i++) {
    const byte = bytes[i];
    if (byte === QUOTE) i = endOfString(bytes, i);
    else if (byte === OPEN || byte === OPEN_LIST) {
      if (++depth > MAX_DEPTH) return true;
    } else if (byte === CLOSE || byte === CLOSE_LIST) depth--;
  }
  return false;
}

/** Index of the quote that ends the string; the end of the text if none does. */
function endOfString(bytes: Buffer, start: number): number {
  for (let end = bytes.indexOf(QUOTE, start + 1); end !== -1; end = bytes.indexOf(QUOTE, end + 1)) {
    let escapes = 0;
    while (bytes[end - 1 - escapes] === BACKSLASH) escapes++;
    if (escapes % 2 === 0) return end;
  }
  return bytes.length;
}
