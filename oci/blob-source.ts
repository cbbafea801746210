import type {Digest} from './digest.ts';
import type {Endpoint} from './endpoint.ts';
import type {Answer} from './endpoint-options.ts';
import {UpstreamError} from './error.ts';
import {Readable} from 'node:stream';
import {discard, headerOf, lengthOf} from './http-reply.ts';
import type {AskOptions, BlobAnswer, RepositoryName, Source} from './source.ts';

/** The blobs of one repository at one endpoint. Never asked about with HEAD (P-18). */
export class BlobSource implements Source {
  readonly #endpoint: Endpoint;
  readonly #name: RepositoryName;

  constructor(endpoint: Endpoint, name: RepositoryName) {
    this.#endpoint = endpoint;
    this.#name = name;
  }

  get kind(): 'upstream' | 'mirror' {
    return this.#endpoint.options.kind;
  }

  open(digest: Digest, offset: number, options: AskOptions): Promise<BlobAnswer> {
    const {events, label} = this.#endpoint.options;
    if (offset > 0) events.resumed?.(label);
    const range: Record<string, string> = offset > 0 ? {range: `bytes=${offset}-`} : {};
    const headers = {accept: '*/*', ...range};
    const question = {
      name: this.#name,
      method: 'GET' as const,
      path: `blobs/${digest}`,
      query: '',
      headers,
      small: false,
    };
    return this.#endpoint.ask(question, options, async (answer) => this.#read(answer, offset));
  }

  /** @see https://www.rfc-editor.org/rfc/rfc9110#section-14.4 and C-052 */
  #read({reply, authority}: Answer, offset: number): BlobAnswer {
    if (reply.status === 200) return {body: reply.body, offset: 0, sizeBytes: lengthOf(reply), authority};
    const [, first, last, total] =
      /^bytes (?:(\d{1,15})-(\d{1,15})|\*)\/(\d{1,15}|\*)$/.exec(headerOf(reply, 'content-range') ?? '') ?? [];
    const sizeBytes = total === undefined || total === '*' ? undefined : Number(total);
    if (
      reply.status === 206 &&
      offset > 0 &&
      Number(first) === offset &&
      isToTheEnd(Number(last), sizeBytes, offset, lengthOf(reply))
    )
      return {body: reply.body, offset, sizeBytes: sizeBytes ?? Number(last) + 1, authority};
    const isComplete = reply.status === 416 && offset > 0 && sizeBytes === offset;
    discard(reply);
    // Nothing is left to send: the caller has it all, and checks it.
    if (isComplete) return {body: Readable.from([], {objectMode: false}), offset, sizeBytes, authority};
    const {registry, url} = this.#endpoint.options;
    throw new UpstreamError('protocol', registry, `${url.host} answered a range with another (${reply.status})`, {
      status: reply.status,
    });
  }
}

function isToTheEnd(last: number, sizeBytes: number | undefined, offset: number, length: number | undefined): boolean {
  if (sizeBytes !== undefined && last !== sizeBytes - 1) return false;
  return length === undefined || length === last - offset + 1;
}
