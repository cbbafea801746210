import {IntegrityError, OciError, UpstreamError, type ErrorCode} from '../../oci/error.ts';

/** What was asked for, for the code of "there is none". */
export type Asked = 'blob' | 'manifest' | 'name';
const UNKNOWN: Record<Asked, ErrorCode> = {blob: 'BLOB_UNKNOWN', manifest: 'MANIFEST_UNKNOWN', name: 'NAME_UNKNOWN'};

/**
 * What a container runtime is told of an upstream's failure. It goes on to its next host after any of these
 * (protocol B.4); 408 and 429 it would repeat at once (P-03), a challenge it would take for ours (P-16).
 */
export function answerFor(error: unknown, asked: Asked, registry: string): unknown {
  if (error instanceof IntegrityError)
    return new OciError('UNAVAILABLE', `${registry} sent something else than what was asked for`, {cause: error});
  if (!(error instanceof UpstreamError)) return error;
  switch (error.failure) {
    case 'notFound':
    case 'unauthorized': // so that it asks the upstream itself, with the pod's own secret (B-063)
      return new OciError(UNKNOWN[asked], messageOf(error), {cause: error});
    case 'refused':
      return new OciError('DENIED', messageOf(error), {cause: error});
    case 'tooManyRequests':
    case 'serverError':
    case 'timeout':
    case 'down':
    case 'protocol':
      return new OciError('UNAVAILABLE', messageOf(error), {cause: error});
  }
}

/** The text a user reads in a pod's events (P-29): it names the registry as the user does, not only its address. */
function messageOf({registry, message}: UpstreamError): string {
  return message.includes(registry) ? message : `${registry}: ${message}`;
}

/** A body's error is the connection's, unless the client named it already. */
export function brokenBody(error: Error | undefined, registry: string): Error {
  if (error instanceof UpstreamError || error instanceof IntegrityError) return error;
  const what = error === undefined ? 'The connection closed before the blob was complete' : 'The connection broke';
  return new UpstreamError('down', registry, what, {cause: error});
}
