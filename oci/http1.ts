import {Readable} from 'node:stream';
import type {Dispatcher} from 'undici';
import {lengthOf, type HttpHeaders, type HttpReply} from './http-reply.ts';
import {slabs} from './slabs.ts';

export interface Http1Request {
  readonly origin: string;
  /** With its query; begins with one slash or more, and never replaces the origin (D-123). */
  readonly path: string;
  readonly method: 'GET' | 'HEAD' | 'POST';
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string | undefined;
  readonly headersMs: number;
  readonly stallMs: number;
  readonly signal: AbortSignal;
  /** It left the queue: a connection is its own. */
  readonly started: () => void;
  /** What a failure, also one of the body, becomes. */
  readonly failure: (error: unknown) => Error;
}

/** One chunk as it comes from a socket: what nobody reads yet is not to be read ahead of what somebody waits for. */
const HELD_BYTES = 16 * 1024;

/** One exchange over HTTP/1.1: no redirect followed, nothing decoded, the body paused until it is read. */
export function sendHttp1(dispatcher: Dispatcher, request: Http1Request): Promise<HttpReply> {
  return new Promise((resolve, reject) => {
    const exchange = new Exchange(request, resolve, reject);
    if (request.signal.aborted) return reject(request.failure(request.signal.reason));
    request.signal.addEventListener('abort', exchange.abort, {once: true});
    const {origin, path, method, headers, body, headersMs, stallMs} = request;
    dispatcher.dispatch(
      {origin, path, method, headers, body: body ?? null, headersTimeout: headersMs, bodyTimeout: stallMs},
      exchange,
    );
  });
}

/** Hears what undici says of one request. `signal` ends the wait for headers; afterwards the body's owner decides. */
class Exchange implements Dispatcher.DispatchHandler {
  readonly #request: Http1Request;
  readonly #resolve: (reply: HttpReply) => void;
  readonly #reject: (error: Error) => void;
  #controller: Dispatcher.DispatchController | undefined;
  #body: Body | undefined;

  constructor(request: Http1Request, resolve: (reply: HttpReply) => void, reject: (error: Error) => void) {
    this.#request = request;
    this.#resolve = resolve;
    this.#reject = reject;
  }

  /** A request still in the queue has no controller: it is aborted when its turn comes. */
  readonly abort = (): void => {
    const {signal, failure} = this.#request;
    this.#controller?.abort(asError(signal.reason));
    this.#reject(failure(signal.reason));
  };

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#request.started();
    this.#controller = controller;
    if (this.#request.signal.aborted) controller.abort(asError(this.#request.signal.reason));
  }

  onResponseStart(controller: Dispatcher.DispatchController, status: number, headers: HttpHeaders): void {
    if (status < 200) return;
    this.#request.signal.removeEventListener('abort', this.abort);
    this.#body = new Body(controller, 'transfer-encoding' in headers ? 0 : (lengthOf({headers}) ?? 0));
    this.#resolve({status, headers, body: this.#body});
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    if (this.#body?.received(chunk) === false) controller.pause();
  }

  onResponseEnd(): void {
    this.#body?.finish();
  }

  onResponseError(_controller: Dispatcher.DispatchController, error: Error): void {
    this.#request.signal.removeEventListener('abort', this.abort);
    const failure = this.#request.failure(error);
    if (this.#body) this.#body.destroy(failure);
    else this.#reject(failure);
  }
}

/** A body that can lend its chunks instead of giving them away. */
export interface LendingBody extends Readable {
  /**
   * Set before the body is read. From then on 'data' may bring chunks that are held for its listener, who gives them back
   * when they are used: memory of sockets (oci/slabs.ts). Without it they are copied.
   */
  lends: boolean;
}

/** Held back by whoever reads it; destroyed early it breaks the connection off. */
class Body extends Readable implements LendingBody {
  lends = false;
  readonly #controller: Dispatcher.DispatchController;
  /** What is still to come, where that is known. */
  #bytesLeft: number;
  #whole = false;

  constructor(controller: Dispatcher.DispatchController, bytes: number) {
    super({highWaterMark: HELD_BYTES});
    this.#controller = controller;
    this.#bytesLeft = bytes;
    this.on('error', () => {}); // it may break before its reader listens; the reader still finds it broken
  }

  /** @returns whether more is wanted. */
  received(chunk: Buffer): boolean {
    this.#bytesLeft -= chunk.length;
    slabs.readerOf(chunk)?.expectBody(this.#bytesLeft);
    if (slabs.offsetOf(chunk) === undefined) return this.push(chunk);
    // Past the queue, in which a lent chunk would be lost when the body is destroyed.
    const isLent = this.lends && this.readableFlowing === true && this.readableLength === 0 && !this.destroyed;
    if (!isLent) return this.push(Buffer.from(chunk));
    slabs.hold(chunk);
    this.emit('data', chunk);
    return !this.isPaused();
  }

  finish(): void {
    this.#whole = true;
    this.push(null);
  }

  override _read(): void {
    this.#controller.resume();
  }

  /** A stream whose chunks went past its queue does not know that it has to ask for more. */
  override resume(): this {
    super.resume();
    if (this.lends && !this.#whole) this.#controller.resume();
    return this;
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    if (!this.#whole && !this.#controller.aborted) this.#controller.abort(error ?? new Error('The rest is not wanted'));
    callback(error);
  }
}

function asError(reason: unknown): Error {
  return reason instanceof Error ? reason : new Error('Aborted');
}
