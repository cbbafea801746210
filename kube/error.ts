/** One field that the API server did not like. */
export interface KubeCause {
  readonly field: string;
  readonly message: string;
}

export interface KubeErrorOptions extends ErrorOptions {
  readonly retryAfterMs?: number | undefined;
  readonly causes?: readonly KubeCause[];
  readonly text?: string | undefined;
}

/**
 * Whatever the API server refused, or why it could not be asked. Decided by `code` and `reason`, never by the message.
 */
export class KubeError extends Error {
  override readonly name = 'KubeError';
  /** HTTP status; 0 if there was no answer. */
  readonly code: number;
  /**
   * The API's own word (NotFound, AlreadyExists, Conflict, Forbidden, Invalid, Expired, …), or one of ours: Unreachable,
   * Timeout, TooLarge, Malformed, Busy, Silent, Credentials.
   */
  readonly reason: string;
  /** When the server wants to be asked again. */
  readonly retryAfterMs: number | undefined;
  readonly causes: readonly KubeCause[];
  /** What came in place of the API's JSON, if it was plain text: behind `pods/proxy` a pod's own words. */
  readonly text: string | undefined;

  constructor(code: number, reason: string, message: string, options: KubeErrorOptions = {}) {
    super(message, options);
    this.code = code;
    this.reason = reason;
    this.retryAfterMs = options.retryAfterMs;
    this.causes = options.causes ?? [];
    this.text = options.text;
  }
}

export function isNotFound(error: unknown): boolean {
  return error instanceof KubeError && error.code === 404;
}

/** Somebody was there first: a create that found one, or a write to a version that is no longer the newest. */
export function isConflict(error: unknown): boolean {
  return error instanceof KubeError && error.code === 409;
}

/** The version asked for is no longer kept: list anew. */
export function isExpired(error: unknown): boolean {
  return error instanceof KubeError && (error.code === 410 || error.reason === 'Expired' || error.reason === 'Gone');
}

interface Status {
  readonly kind?: unknown;
  readonly reason?: unknown;
  readonly message?: unknown;
  readonly code?: unknown;
  readonly details?: {readonly retryAfterSeconds?: unknown; readonly causes?: unknown};
}

const MAX_MESSAGE = 2048;
const MAX_CAUSES = 32;

/**
 * What a `Status` object, or anything else that came with a failing status, says.
 * @param asked `GET /api/v1/…`, for answers that say nothing themselves.
 */
export function errorOfStatus(code: number, body: unknown, asked: string, retryAfter?: string): KubeError {
  const plain = typeof body === 'string' ? body.slice(0, MAX_MESSAGE).trim() : undefined;
  const status = (typeof body === 'object' && body !== null ? body : {}) as Status;
  const text = typeof status.message === 'string' && status.message !== '' ? status.message : `${asked}: HTTP ${code}`;
  const seconds = retryAfter ?? status.details?.retryAfterSeconds;
  const reason =
    typeof status.reason === 'string' && status.reason !== '' ? status.reason : (REASONS[code] ?? 'Unknown');
  return new KubeError(code, reason, text.slice(0, MAX_MESSAGE), {
    retryAfterMs: toMs(seconds),
    causes: causesOf(status.details?.causes),
    text: plain === '' ? undefined : plain,
  });
}

const REASONS: Readonly<Record<number, string>> = {
  400: 'BadRequest',
  401: 'Unauthorized',
  403: 'Forbidden',
  404: 'NotFound',
  405: 'MethodNotAllowed',
  409: 'Conflict',
  410: 'Expired',
  413: 'RequestEntityTooLarge',
  415: 'UnsupportedMediaType',
  422: 'Invalid',
  429: 'TooManyRequests',
  500: 'InternalError',
  503: 'ServiceUnavailable',
  504: 'Timeout',
};

function toMs(seconds: unknown): number | undefined {
  const number = typeof seconds === 'string' || typeof seconds === 'number' ? Number(seconds) : Number.NaN;
  return Number.isFinite(number) && number >= 0 ? number * 1000 : undefined;
}

function causesOf(causes: unknown): KubeCause[] {
  if (!Array.isArray(causes)) return [];
  return causes.slice(0, MAX_CAUSES).map((cause: {field?: unknown; message?: unknown}) => ({
    field: typeof cause.field === 'string' ? cause.field : '',
    message: typeof cause.message === 'string' ? cause.message.slice(0, MAX_MESSAGE) : '',
  }));
}
