import {IntegrityError, OciError, UpstreamError, type UpstreamFailure} from '../../oci/error.ts';
import {StoreFullError} from '../store/contract.ts';
import {NoSuchPlatformError} from './backend.ts';

/** What the caller of the API is told. */
export class ApiError extends Error {
  override readonly name = 'ApiError';
  readonly status: number;
  constructor(status: number, message: string, options?: ErrorOptions) {
    super(message, options);
    this.status = status;
  }
}

const UPSTREAM_STATUS: Readonly<Record<UpstreamFailure, number>> = {
  unauthorized: 403,
  notFound: 404,
  tooManyRequests: 503,
  serverError: 502,
  timeout: 504,
  down: 502,
  refused: 403,
  protocol: 502,
};

/** One place where an error becomes an answer. Words of errors that nobody meant for people are kept to the log. */
export function toApiError(error: unknown): ApiError {
  if (error instanceof ApiError) return error;
  if (error instanceof UpstreamError)
    return new ApiError(UPSTREAM_STATUS[error.failure], error.message, {cause: error});
  if (error instanceof OciError && error.code !== 'UNKNOWN')
    return new ApiError(error.status, error.message, {cause: error});
  if (error instanceof NoSuchPlatformError) return new ApiError(404, error.message, {cause: error});
  if (error instanceof IntegrityError) return new ApiError(502, error.message, {cause: error});
  if (error instanceof StoreFullError)
    return new ApiError(507, `The cache has no room: ${error.message}`, {cause: error});
  return new ApiError(500, 'Internal error: the log of the agent says more', {cause: error});
}
