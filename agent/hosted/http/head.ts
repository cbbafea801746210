import type {OutgoingHttpHeaders} from 'node:http';
import type {Digest} from '../../../oci/digest.ts';
import type {HostedRequest} from '../../../oci/hosted-request.ts';
import {API_VERSION} from '../../http/asked.ts';

/** What every answer carries. */
export function commonHead(request: HostedRequest): OutgoingHttpHeaders {
  const ns = 'ns' in request ? request.ns : undefined;
  return ns === undefined ? {...API_VERSION} : {...API_VERSION, 'oci-namespace': ns};
}

/** What answers about content carry besides. */
export function contentHead(request: HostedRequest, digest: Digest, mediaType: string): OutgoingHttpHeaders {
  return {
    ...commonHead(request),
    'content-type': mediaType,
    'docker-content-digest': digest,
    etag: `"${digest}"`,
    // Whatever type a pusher gives it, a browser that is logged in here must not take it for a page of ours.
    'x-content-type-options': 'nosniff',
    ...(mediaType.startsWith('application/') ? {} : {'content-security-policy': "default-src 'none'; sandbox"}),
  };
}
