import type {HostedRequest} from '../../oci/hosted-request.ts';
import type {RequestKind} from '../metrics.ts';
import {Subject} from './exchange.ts';

const KINDS: Readonly<Record<HostedRequest['kind'], RequestKind>> = {
  ping: 'ping',
  catalog: 'catalog',
  blob: 'blob',
  manifest: 'manifest',
  tag: 'tag',
  tags: 'tags',
  referrers: 'referrers',
  uploads: 'upload',
  upload: 'upload',
};

/** What log, metrics and audit say of a request to what is hosted here. */
export function hostedSubject(request: HostedRequest): Subject {
  const repository = 'repository' in request ? request.repository : undefined;
  const reference = 'tag' in request ? request.tag : 'digest' in request ? request.digest : undefined;
  return new Subject(KINDS[request.kind], 'hosted', repository, reference);
}
