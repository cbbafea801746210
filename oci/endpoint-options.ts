import type {CredentialSource} from './credentials.ts';
import type {Guard} from './guard.ts';
import type {HttpReply} from './http-reply.ts';
import type {Authority, RepositoryName} from './source.ts';
import type {Transport} from './transport.ts';
import type {Timeouts, UpstreamEvents} from './upstream-settings.ts';

/** One question about a repository. */
export interface Question {
  readonly name: RepositoryName;
  readonly method: 'GET' | 'HEAD';
  /** After `/v2/<repository>/`, of validated parts. */
  readonly path: string;
  /** After `?`; may be empty. */
  readonly query: string;
  readonly headers: Readonly<Record<string, string>>;
  /** Everything but blobs. */
  readonly small: boolean;
}

/** A 2XX (or 416 to a range), from the registry or where it redirects to. */
export interface Answer {
  readonly reply: HttpReply;
  readonly authority: Authority;
}

export interface EndpointOptions {
  readonly kind: 'upstream' | 'mirror';
  /** As clients name it. */
  readonly registry: string;
  readonly label: string;
  /** Base URL without `/v2`. */
  readonly url: URL;
  /** Whether an administrator wrote it down: then it may be anywhere. */
  readonly configured: boolean;
  /** Allows private addresses whatever a question allows. */
  readonly allowPrivate: boolean;
  /** Whether `credentials` were written for this very host; otherwise only what is keyed by host is for it. */
  readonly credentials: CredentialSource | undefined;
  readonly keyedOnly: boolean;
  /** Whether there is a client certificate. */
  readonly certificate: boolean;
  readonly transport: Transport;
  readonly guard: Guard;
  readonly hop: string;
  readonly userAgent: string;
  readonly events: UpstreamEvents;
  readonly timeouts: Timeouts;
  readonly now: () => number;
  readonly wallNow: () => number;
  readonly random: () => number;
}
