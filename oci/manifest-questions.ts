import {readManifest} from './descriptor.ts';
import {digestOf, isDigest, splitDigest, type Digest} from './digest.ts';
import type {Endpoint} from './endpoint.ts';
import type {Answer, Question} from './endpoint-options.ts';
import {IntegrityError, UpstreamError} from './error.ts';
import {discard, headerOf, lengthOf, readBody} from './http-reply.ts';
import {ACCEPT_MANIFEST, bareType, isSchema1} from './media-type.ts';
import type {AskOptions, ManifestAnswer, ManifestHead, RepositoryName} from './source.ts';

/** containerd's and c/image's own limits are about 4 MiB (P-24). */
const MAX_MANIFEST = 4 * 1024 * 1024 + 64 * 1024;
/** How long a registry whose HEAD is no good is asked with GET (C-056). */
const HEADLESS_MS = 600_000;
/** What a HEAD may get where a GET would not (P-17, C-056). */
const HEAD_REFUSED = new Set([400, 401, 403, 405, 501]);

/** Manifests of one endpoint. */
export class ManifestQuestions {
  readonly #endpoint: Endpoint;
  #headlessUntil = -Infinity;

  constructor(endpoint: Endpoint) {
    this.#endpoint = endpoint;
  }

  /** By HEAD, which is free at Docker Hub; by GET where HEAD is refused or does not name the digest. */
  async head(name: RepositoryName, reference: string, options: AskOptions): Promise<ManifestHead> {
    const {now} = this.#endpoint.options;
    if (now() < this.#headlessUntil) return this.get(name, reference, options);
    const head = await this.#tryHead(name, reference, options);
    if (head?.digest !== undefined) return head;
    const answer = await this.get(name, reference, options);
    this.#headlessUntil = now() + HEADLESS_MS; // only now is it HEAD's fault
    return answer;
  }

  /** @throws {IntegrityError} if `reference` is a digest and the bytes have another. */
  get(name: RepositoryName, reference: string, options: AskOptions): Promise<ManifestAnswer> {
    return this.#endpoint.ask(question(name, 'GET', reference), options, (answer) => this.#read(answer, reference));
  }

  async #tryHead(name: RepositoryName, reference: string, options: AskOptions): Promise<ManifestHead | undefined> {
    try {
      return await this.#endpoint.ask(question(name, 'HEAD', reference), options, async (answer) =>
        headOf(answer, reference),
      );
    } catch (error) {
      if (error instanceof UpstreamError && HEAD_REFUSED.has(error.status ?? 0)) return undefined;
      throw error;
    }
  }

  async #read({reply, authority}: Answer, reference: string): Promise<ManifestAnswer> {
    const {registry} = this.#endpoint.options;
    const bytes = await readBody(reply, MAX_MANIFEST, registry);
    const mediaType = this.#typeOf(bytes, headerOf(reply, 'content-type'));
    const digest = digestFor(bytes, mediaType, reference, headerOf(reply, 'docker-content-digest'));
    if (isDigest(reference) && digest !== reference)
      throw new IntegrityError(`${registry} sent ${digest} for ${reference}`);
    return {digest, mediaType, sizeBytes: bytes.length, bytes, authority};
  }

  #typeOf(bytes: Buffer, contentType: string | undefined): string {
    const {registry} = this.#endpoint.options;
    try {
      return readManifest(bytes, contentType).mediaType;
    } catch (error) {
      const why = error instanceof SyntaxError && !error.message.includes('JSON') ? error.message : 'it is no manifest';
      throw new UpstreamError('protocol', registry, `${registry} sent what cannot be used: ${why}`, {cause: error});
    }
  }
}

function question(name: RepositoryName, method: 'GET' | 'HEAD', reference: string): Question {
  return {name, method, path: `manifests/${reference}`, query: '', headers: {accept: ACCEPT_MANIFEST}, small: true};
}

function headOf({reply, authority}: Answer, reference: string): ManifestHead {
  discard(reply);
  const named = headerOf(reply, 'docker-content-digest')?.trim() ?? '';
  const mediaType = bareType(headerOf(reply, 'content-type'));
  // A generic type says too little to answer clients with: the body has to.
  const isSaid = isDigest(named) && (!isDigest(reference) || named === reference) && mediaType.includes('vnd.');
  return {digest: isSaid ? named : undefined, mediaType, sizeBytes: lengthOf(reply), authority};
}

/**
 * Of the bytes, whatever the header says (C-055). Docker's first type is the exception: its digest leaves the
 * signatures out, so what was asked for or said has to do, and nobody may keep it.
 */
function digestFor(bytes: Buffer, mediaType: string, reference: string, header: string | undefined): Digest {
  const asked = isDigest(reference) ? reference : undefined;
  const computed = digestOf(bytes, asked ? splitDigest(asked).algorithm : 'sha256');
  if (!isSchema1(mediaType)) return computed;
  return asked ?? (header !== undefined && isDigest(header) ? header : computed);
}
