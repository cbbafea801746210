import type {OutgoingHttpHeaders} from 'node:http';
import type {Digest} from '../../oci/digest.ts';
import type {Pull} from '../../oci/request.ts';
import {API_VERSION} from './asked.ts';

/** The headers that every successful answer about content carries (P-05, A-020, A-029, A-083). */
export function contentHead(pull: Pull, digest: Digest, mediaType: string): OutgoingHttpHeaders {
  const head: OutgoingHttpHeaders = {
    ...API_VERSION,
    'content-type': mediaType,
    'docker-content-digest': digest,
    etag: `"${digest}"`,
  };
  if (pull.named === 'ns') head['oci-namespace'] = pull.name.registry;
  return head;
}
