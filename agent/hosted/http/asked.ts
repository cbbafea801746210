import type {IncomingMessage, ServerResponse} from 'node:http';
import type {HostedRequest} from '../../../oci/hosted-request.ts';
import type {Caller} from '../../access/caller.ts';
import type {Exchange} from '../../http/exchange.ts';

/** A request to the registry that we are, with who asks. */
export interface HostedAsked<R extends HostedRequest = HostedRequest> {
  readonly req: IncomingMessage;
  readonly res: ServerResponse;
  readonly request: R;
  readonly caller: Caller;
  readonly exchange: Exchange;
}

/**
 * Answers everything of the distribution API for repositories that are hosted here. It checks the caller's rights
 * itself (`neededFor`): what the door let through by mistake is refused here.
 * @throws {OciError} and others before the head: the door makes an answer of it.
 */
export type HostedHandler = (asked: HostedAsked) => Promise<void>;
