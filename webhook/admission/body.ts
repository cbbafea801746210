import type {IncomingMessage} from 'node:http';
import {isDeeperThan} from '../../proc/json-depth.ts';

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
  if (isDeeperThan(MAX_DEPTH, bytes)) throw new BodyError(400, `Expected JSON of at most ${String(MAX_DEPTH)} levels`);
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
    req.on('close', () => {
      if (!req.readableEnded) reject(Object.assign(new Error('The caller left'), {code: 'ECONNRESET'}));
    });
  });
}
