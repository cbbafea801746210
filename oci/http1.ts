import {Readable} from 'node:stream';
import type {Dispatcher} from 'undici';
import type {HttpHeaders, HttpReply} from './http-reply.ts';

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
const HELD_BYTES = 64 * 1024;

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
    this.#body = new Body(controller);
    this.#resolve({status, headers, body: this.#body});
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    if (this.#body?.push(chunk) === false) controller.pause();
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

/** Held back by whoever reads it; destroyed early it breaks the connection off. */
class Body extends Readable {
  readonly #controller: Dispatcher.DispatchController;
  #whole = false;

  constructor(controller: Dispatcher.DispatchController) {
    super({highWaterMark: HELD_BYTES});
    this.#controller = controller;
    this.on('error', () => {}); // it may break before its reader listens; the reader still finds it broken
  }

  finish(): void {
    this.#whole = true;
    this.push(null);
  }

  override _read(): void {
    this.#controller.resume();
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    if (!this.#whole && !this.#controller.aborted) this.#controller.abort(error ?? new Error('The rest is not wanted'));
    callback(error);
  }
}

function asError(reason: unknown): Error {
  return reason instanceof Error ? reason : new Error('Aborted');
}
