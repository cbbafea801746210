import type {IncomingMessage, ServerResponse} from 'node:http';
import type {HostedRequest} from '../../oci/hosted-request.ts';
import type {Log} from '../../proc/log.ts';
import type {Exchange} from './exchange.ts';

/** What of a request at a direct listener is one line of the audit (design §8): each push, deletion and refusal. */
export interface Audited {
  readonly req: IncomingMessage;
  readonly res: ServerResponse;
  readonly exchange: Exchange;
  /** `undefined` if it was refused before it was understood. */
  readonly request: HostedRequest | undefined;
}

type Done = 'push' | 'delete' | 'refuse';

/** Writes the line, once the answer is out. */
export function writeAudit(log: Log, audited: Audited): void {
  const {res, exchange, request} = audited;
  const done = whatWasDone(audited);
  if (done === undefined) return;
  const asked = request !== undefined && 'digest' in request ? request.digest : undefined;
  log.audit({
    id: exchange.requestId,
    action: done,
    method: exchange.method,
    kind: exchange.subject.kind,
    who: exchange.identity,
    address: exchange.address,
    repository: exchange.subject.repository,
    reference: exchange.subject.reference,
    digest: exchange.stored?.digest ?? asked,
    bytes: exchange.stored?.sizeBytes,
    status: res.statusCode,
    reason: done === 'refuse' ? exchange.reason : undefined,
  });
}

function whatWasDone({req, res, request, exchange}: Audited): Done | undefined {
  if (!res.headersSent) return undefined; // the client left before it was decided
  const {method = ''} = req;
  const {statusCode} = res;
  if (statusCode === 401 && exchange.subject.kind === 'ping' && req.headers.authorization === undefined)
    return undefined; // "who are you?"
  if ([401, 403, 429].includes(statusCode)) return 'refuse';
  const writes = ['POST', 'PUT', 'PATCH', 'DELETE'].includes(method);
  if (statusCode === 405 && writes) return 'refuse';
  if (statusCode === 202 && method === 'DELETE' && request?.kind !== 'upload') return 'delete';
  return statusCode === 201 && writes ? 'push' : undefined;
}
