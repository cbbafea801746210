import {Buffer} from 'node:buffer';
import type {Readable} from 'node:stream';
import {UpstreamError} from './error.ts';
import {toUpstreamError} from './http-failure.ts';

/** Names are in lower case. */
export type HttpHeaders = Readonly<Record<string, string | string[] | undefined>>;

/** The beginning of an answer; whoever has it reads `body` to its end, discards or destroys it. */
export interface HttpReply {
  readonly status: number;
  readonly headers: HttpHeaders;
  /** Raw bytes; breaks with an UpstreamError. */
  readonly body: Readable;
}

/** Unread bodies up to this size are read to keep the connection; larger ones cost the connection. */
const DRAIN_BYTES = 64 * 1024;

/** The first value of a header. */
export function headerOf(reply: {readonly headers: HttpHeaders}, name: string): string | undefined {
  const value = reply.headers[name];
  return typeof value === 'string' ? value : value?.[0];
}

/** Content-Length as a number; `undefined` if absent or not one. */
export function lengthOf(reply: {readonly headers: HttpHeaders}): number | undefined {
  const text = headerOf(reply, 'content-length') ?? '';
  return /^\d{1,15}$/.test(text) ? Number(text) : undefined;
}

/** Lets go of an answer whose body nobody wants. */
export function discard(reply: HttpReply): void {
  reply.body.on('error', () => {}); // nobody is there to hear it
  if ((lengthOf(reply) ?? Infinity) <= DRAIN_BYTES) reply.body.resume();
  else reply.body.destroy();
}

/** Breaks the body off when the signal ends, for bodies that have to come within the time of their question. */
export function bindBody({body}: HttpReply, signal: AbortSignal, registry: string): void {
  const abort = (): void => void body.destroy(toUpstreamError(signal.reason, registry, registry));
  if (signal.aborted) abort();
  signal.addEventListener('abort', abort, {once: true});
  body.once('close', () => signal.removeEventListener('abort', abort));
}

/**
 * Reads a whole body, whatever Content-Length says.
 * @throws {UpstreamError} `protocol` above `maxBytes`, and as the body breaks.
 */
export async function readBody(reply: HttpReply, maxBytes: number, registry: string): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let size = 0;
  try {
    for await (const chunk of reply.body as AsyncIterable<Buffer>) {
      size += chunk.length;
      if (size > maxBytes) throw tooLong(reply, maxBytes, registry);
      chunks.push(chunk);
    }
  } catch (error) {
    throw toUpstreamError(error, registry, registry);
  }
  return Buffer.concat(chunks, size);
}

function tooLong({status}: HttpReply, maxBytes: number, registry: string): UpstreamError {
  return new UpstreamError('protocol', registry, `${registry} answered with more than ${maxBytes} bytes`, {status});
}

const ERROR_BYTES = 64 * 1024;
const ERROR_CHARS = 200;

/** A short, harmless form of what an error's body says (P-29, D-037), or ''. Never throws. */
export async function errorText(reply: HttpReply): Promise<string> {
  try {
    const text = (await readBody(reply, ERROR_BYTES, '')).toString('utf8');
    return clean(
      text.startsWith('{') ? messageOf(JSON.parse(text)) : (/<(?:Message|title)>([^<]*)</i.exec(text)?.[1] ?? ''),
    );
  } catch {
    return '';
  }
}

function messageOf(body: unknown): string {
  const {errors, message, details} = body as {
    errors?: {code?: unknown; message?: unknown}[];
    message?: unknown;
    details?: unknown;
  };
  const first = Array.isArray(errors) ? errors[0] : undefined;
  const parts = first ? [first.code, first.message] : [message ?? details];
  return parts.filter((part) => typeof part === 'string').join(': ');
}

/** Control characters and ANSI go, and so do queries: they may be signed (D-037). */
function clean(text: string): string {
  const visible = text.replaceAll(/\p{Cc}+/gu, ' ').replaceAll(/\?\S+/g, '?…');
  return visible.slice(0, ERROR_CHARS).trim();
}
