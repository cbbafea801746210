/**
 * Codes a client may see and the one status each has.
 * @see https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md#error-codes and
 */
const STATUS = {
  BLOB_UNKNOWN: 404,
  BLOB_UPLOAD_INVALID: 400,
  BLOB_UPLOAD_UNKNOWN: 404,
  DENIED: 403,
  DIGEST_INVALID: 400,
  MANIFEST_BLOB_UNKNOWN: 404,
  MANIFEST_INVALID: 400,
  MANIFEST_UNKNOWN: 404,
  NAME_INVALID: 400,
  NAME_UNKNOWN: 404,
  PAGINATION_NUMBER_INVALID: 400,
  RANGE_INVALID: 416,
  SIZE_EXCEEDED: 413,
  SIZE_INVALID: 400,
  TAG_INVALID: 400,
  TOOMANYREQUESTS: 429,
  UNAUTHORIZED: 401,
  UNSUPPORTED: 405,
  // Not in the specification: docker/distribution's words for the 5XX.
  UNAVAILABLE: 503,
  UNKNOWN: 500,
  STORAGE_FULL: 507,
} as const;
/** What the client reads where that is not our own word: clients know only the specification's. */
const WIRE: {readonly [code in ErrorCode]?: string} = {SIZE_EXCEEDED: 'SIZE_INVALID', STORAGE_FULL: 'UNAVAILABLE'};
export type ErrorCode = keyof typeof STATUS;

/** A failure the client is told about. Anything else that is thrown becomes UNKNOWN and a log line. */
export class OciError extends Error {
  override readonly name = 'OciError';
  readonly code: ErrorCode;
  constructor(code: ErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
  get status(): number {
    return STATUS[this.code];
  }
  toJSON(): object {
    return {errors: [{code: WIRE[this.code] ?? this.code, message: this.message}]};
  }
}

/**
 * Why an upstream did not give what was asked of it.
 * - `unauthorized`: 401 or 403 with the rights that were allowed (Docker Hub: also "no such repository", C-032)
 * - `notFound`: 404 · `tooManyRequests`: 429 · `serverError`: any other 5xx or unexpected status
 * - `timeout`: no answer, or no byte, in time · `down`: no connection, or it broke; also an open circuit
 * - `refused`: we refuse to ask: the SSRF guard, a redirect that is not allowed, a name that is not one
 * - `protocol`: an answer that is not one (wrong range, no length where one is due, oversized manifest)
 */
export type UpstreamFailure =
  | 'unauthorized'
  | 'notFound'
  | 'tooManyRequests'
  | 'serverError'
  | 'timeout'
  | 'down'
  | 'refused'
  | 'protocol';

/** An upstream, mirror or token server failed. The message names it and its status; it never holds a secret or a query. */
export class UpstreamError extends Error {
  override readonly name = 'UpstreamError';
  readonly failure: UpstreamFailure;
  /** The registry as clients name it. */
  readonly registry: string;
  /** HTTP status, where there was an answer. */
  readonly status: number | undefined;
  readonly retryAfterMs: number | undefined;
  constructor(
    failure: UpstreamFailure,
    registry: string,
    message: string,
    options: ErrorOptions & {status?: number | undefined; retryAfterMs?: number | undefined} = {},
  ) {
    super(message, options);
    this.failure = failure;
    this.registry = registry;
    this.status = options.status;
    this.retryAfterMs = options.retryAfterMs;
  }
}

/** Size or digest is not what was asked for. Never committed; counted. */
export class IntegrityError extends Error {
  override readonly name = 'IntegrityError';
}
