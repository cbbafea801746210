import type {HostedRequest} from '../../oci/hosted-request.ts';
import type {Action} from '../access/caller.ts';

/** What a request needs to be allowed, before anything is looked at. `undefined`: only to be let in. */
export interface Needed {
  readonly action: Action;
  readonly repository: string;
}

/** A mount needs to pull from its source, too; who may not is answered as if there were nothing to mount. */
export function neededFor(method: string, request: HostedRequest): Needed | undefined {
  if (request.kind === 'ping' || request.kind === 'catalog') return undefined; // the catalog shows what may be pulled
  const {repository} = request;
  if (request.kind === 'uploads' || request.kind === 'upload') return {action: 'push', repository};
  if (method === 'GET' || method === 'HEAD') return {action: 'pull', repository};
  return {action: method === 'DELETE' ? 'delete' : 'push', repository};
}
