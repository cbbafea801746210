import type {IncomingMessage} from 'node:http';

/** How often bodies are looked at, and what must have come since, in bytes. Who pushes may itself wait for a slow source. */
const LOOK_MS = 120_000;
const LEAST_BYTES = 1 << 10;

interface Watched {
  before: number;
}

/**
 * Ends connections on which a body does not get ahead (D-038). Only while we would take more: a disk that is slower than the
 * client is our own doing.
 */
export class Progress {
  readonly #lookMs: number;
  /** Requests whose body is not all here → what had come when they were last looked at. */
  readonly #watched = new Map<IncomingMessage, Watched>();
  #timer: NodeJS.Timeout | undefined;

  constructor(lookMs = LOOK_MS) {
    this.#lookMs = lookMs;
  }

  watch(req: IncomingMessage): void {
    if (req.complete || (req.headers['content-length'] ?? '0') === '0') {
      if (req.headers['transfer-encoding'] === undefined) return;
    }
    this.#watched.set(req, {before: req.socket.bytesRead});
    req.once('close', () => this.#watched.delete(req));
    this.#timer ??= setInterval(() => {
      this.#look();
    }, this.#lookMs).unref();
  }

  #look(): void {
    for (const [req, watched] of this.#watched) {
      const now = req.socket.bytesRead;
      const waits = !req.complete && !req.isPaused() && req.readableLength < req.readableHighWaterMark;
      if (waits && now - watched.before < LEAST_BYTES) req.socket.destroy();
      watched.before = now;
    }
    if (this.#watched.size > 0) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
  }
}
