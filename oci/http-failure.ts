import {UpstreamError, type UpstreamFailure} from './error.ts';
import {RefusedError} from './guard.ts';

const TIMEOUTS = new Set(['UND_ERR_CONNECT_TIMEOUT', 'UND_ERR_HEADERS_TIMEOUT', 'UND_ERR_BODY_TIMEOUT', 'ETIMEDOUT']);
const NOT_HTTP = /^HPE_|^UND_ERR_(?:HEADERS_OVERFLOW|RES_|RESPONSE|INVALID)/;
/** What will not be different in a moment. */
const LASTING = /CERT|^ERR_(?:TLS|SSL)|SELF_SIGNED|UNABLE_TO|ENOTFOUND|ERR_INVALID/;

/** Turns what a socket, TLS, DNS or HTTP library threw into what the rest of the client decides by. */
export function toUpstreamError(error: unknown, registry: string, host: string): UpstreamError {
  if (error instanceof UpstreamError) return error;
  if (error instanceof RefusedError)
    return new UpstreamError('refused', registry, `${registry}: ${error.message}`, {cause: error});
  const code = codeOf(error);
  const failure = failureOf(error, code);
  const what =
    failure === 'timeout'
      ? 'did not answer in time'
      : failure === 'down'
        ? 'cannot be reached or broke off'
        : 'did not speak HTTP';
  return new UpstreamError(failure, registry, `${host} ${what}${code === '' ? '' : ` (${code})`}`, {cause: error});
}

/** Whether asking again soon could help. */
export function isPassing(error: UpstreamError): boolean {
  if (error.failure !== 'down' && error.failure !== 'timeout') return false;
  return !LASTING.test(codeOf(error.cause));
}

function failureOf(error: unknown, code: string): UpstreamFailure {
  if (TIMEOUTS.has(code) || (error instanceof Error && error.name === 'TimeoutError')) return 'timeout';
  return NOT_HTTP.test(code) && code !== 'UND_ERR_RES_CONTENT_LENGTH_MISMATCH' ? 'protocol' : 'down';
}

/** Of an error, or of the first in it where several addresses were tried. */
function codeOf(error: unknown): string {
  if (error instanceof AggregateError && !('code' in error)) return codeOf(error.errors[0]);
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : '';
}
