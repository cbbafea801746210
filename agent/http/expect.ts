import type {IncomingMessage, ServerResponse} from 'node:http';

/** Requests whose client waits for "100 Continue" before it sends their body → their answer. */
const waiting = new WeakMap<IncomingMessage, ServerResponse>();

/** The body is asked for when somebody begins to read it: who is refused before that sends nothing (RFC 9110 §10.1.1). */
export function continueWhenRead(req: IncomingMessage, res: ServerResponse): void {
  if (req.headers.expect?.toLowerCase() === '100-continue') waiting.set(req, res);
}

/** Everybody who reads a body of the direct door calls it before. */
export function askForBody(req: IncomingMessage): void {
  const res = waiting.get(req);
  waiting.delete(req);
  if (res !== undefined && !res.headersSent) res.writeContinue();
}

/** Whether the client sends nothing because it was not asked to. */
export function waitsToSend(req: IncomingMessage): boolean {
  return waiting.has(req);
}
