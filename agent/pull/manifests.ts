import {LRUCache} from 'lru-cache';
import {childrenOf, readManifest, type Manifest} from '../../oci/descriptor.ts';
import type {Digest} from '../../oci/digest.ts';
import {UpstreamError} from '../../oci/error.ts';
import {isSchema1} from '../../oci/media-type.ts';
import {Once} from '../../oci/once.ts';
import type {Authority, ManifestAnswer, RepositoryName} from '../../oci/source.ts';
import {sees, usableLink} from '../access/links.ts';
import type {PullRights} from '../access/caller.ts';
import {asksAs, keyOf, type PullContext} from './context.ts';
import type {Denied} from './denied.ts';

/** A manifest's bytes, exactly as they came (P-06). */
export interface ManifestContent {
  readonly digest: Digest;
  readonly mediaType: string;
  readonly bytes: Buffer;
  /** The bytes of a usual manifest as a Latin-1 string, which leaves in one write with the head; `undefined` for large ones. */
  readonly text: string | undefined;
  readonly from: 'cache' | 'upstream';
}

/** Containerd's limit is a little above 4 MiB, and so is ours (P-24). */
export const MAX_MANIFEST_BYTES = 4_456_448;
/** Manifests are answered from memory (design §4.4): enough for thousands of usual ones. */
const HOT_BYTES = 24 << 20;
const TEXT_BYTES = 64 << 10;

/** Manifests by digest: immutable, so what is on disk is the answer to whoever may see it. */
export class Manifests {
  readonly #context: PullContext;
  readonly #denied: Denied;
  readonly #hot = new LRUCache<Digest, ManifestContent>({
    maxSize: HOT_BYTES,
    maxEntrySize: MAX_MANIFEST_BYTES,
    sizeCalculation: ({bytes, text}) => bytes.length + (text?.length ?? 0) + 512,
  });
  readonly #fetching = new Once<ManifestContent>();
  readonly #keeping = new Once<void>();

  constructor(context: PullContext, denied: Denied) {
    this.#context = context;
    this.#denied = denied;
  }

  /** Without a promise, if everything is in memory: the warm path. */
  peek(name: RepositoryName, digest: Digest, caller: Authority): ManifestContent | undefined {
    const hot = this.#hot.get(digest);
    if (hot === undefined) return undefined;
    const links = this.#context.store.peekLinks(digest, name);
    if (links === undefined || !links.some((link) => sees(caller, link))) return undefined;
    return hot;
  }

  /** @throws {UpstreamError | IntegrityError} */
  async get(name: RepositoryName, digest: Digest, caller: PullRights, signal: AbortSignal): Promise<ManifestContent> {
    const stored = await this.stored(name, digest, caller.authority);
    if (stored !== undefined) return stored;
    if (this.#context.policy(name).offline)
      throw new UpstreamError(
        'notFound',
        name.registry,
        `${name.registry} is offline by configuration, and this is not in the cache`,
      );
    return this.fetch(name, digest, caller, signal);
  }

  /** From memory or disk, through a proven link only. */
  async stored(name: RepositoryName, digest: Digest, caller: Authority): Promise<ManifestContent | undefined> {
    if ((await usableLink(this.#context.store, name, digest, caller)) === undefined) return undefined;
    const hot = this.#hot.get(digest);
    if (hot !== undefined) return hot;
    const stored = await this.#context.store.read(digest, MAX_MANIFEST_BYTES);
    if (stored === undefined) return undefined;
    const mediaType = stored.record.mediaType ?? typeOf(stored.bytes);
    if (mediaType === undefined) return undefined;
    const content = newContent(digest, mediaType, stored.bytes);
    this.#hot.set(digest, content);
    return content;
  }

  /** From the upstream, whatever is stored. One request for all who ask at one time. */
  fetch(name: RepositoryName, reference: string, caller: PullRights, signal: AbortSignal): Promise<ManifestContent> {
    const authority = asksAs(this.#context, name, caller);
    this.#denied.check(name, reference, authority);
    // Callers share it, so none of them may end it; the upstream client's own deadline does.
    const key = `${keyOf(name, reference, authority)} ${caller.allowPrivate}`;
    const shared = this.#fetching.run(key, () => this.#ask(name, reference, authority, caller.allowPrivate));
    return untilAborted(shared, signal);
  }

  async #ask(
    name: RepositoryName,
    reference: string,
    authority: Authority,
    allowPrivate: boolean,
  ): Promise<ManifestContent> {
    const upstream = this.#context.upstream(name);
    try {
      const signal = AbortSignal.timeout(60_000);
      const answer = await upstream.getManifest(name, reference, {authority, allowPrivate, signal});
      return await this.#keep(name, answer);
    } catch (error) {
      this.#denied.note(name, reference, authority, error);
      throw error;
    }
  }

  /** Into memory and onto the disk, with the link that this answer proves. */
  async #keep(name: RepositoryName, answer: ManifestAnswer): Promise<ManifestContent> {
    const manifest = manifestIn(name, answer);
    const {digest, bytes, authority} = answer;
    const content = newContent(digest, manifest.mediaType, bytes);
    if (this.#context.policy(name).cache === 'always') {
      this.#hot.set(digest, content);
      await this.#keeping
        .run(digest, () => this.#store(digest, bytes, manifest))
        .catch((error: unknown) => {
          this.#context.events.storeFailed('manifest', error); // a cache error is a miss, not a failure
        });
      const link = {
        ...name,
        digest,
        authority,
        kind: 'manifest' as const,
        mediaType: manifest.mediaType,
        sizeBytes: bytes.length,
        provenAt: this.#context.now(),
      };
      await this.#context.store.addLink(link).catch((error: unknown) => {
        this.#context.events.storeFailed('link', error);
      });
    }
    return {...content, from: 'upstream'};
  }

  async #store(digest: Digest, bytes: Buffer, manifest: Manifest): Promise<void> {
    const {store} = this.#context;
    if ((await store.stat(digest)) !== undefined) return;
    const ingest = await store.ingest(digest, bytes.length);
    let done = false;
    try {
      if (ingest.resumedBytes > 0) await ingest.restart();
      await ingest.append([bytes]);
      await ingest.verify(bytes.length);
      await ingest.commit({
        kind: 'manifest',
        mediaType: manifest.mediaType,
        children: childrenOf(manifest),
        link: undefined,
      });
      done = true;
    } finally {
      if (!done) await ingest.abandon(false);
    }
  }
}

function newContent(digest: Digest, mediaType: string, bytes: Buffer): ManifestContent {
  const text = bytes.length <= TEXT_BYTES ? bytes.toString('latin1') : undefined;
  return {digest, mediaType, bytes, text, from: 'cache'};
}

/** @throws {UpstreamError} `protocol` if the upstream sent no manifest; `notFound` for schema 1, which we do not carry. */
function manifestIn(name: RepositoryName, answer: ManifestAnswer): Manifest {
  if (isSchema1(answer.mediaType))
    throw new UpstreamError(
      'notFound',
      name.registry,
      `${name.registry} has this image in schema 1 only, which is asked of it directly`,
    );
  try {
    return readManifest(answer.bytes, answer.mediaType);
  } catch (error) {
    throw new UpstreamError(
      'protocol',
      name.registry,
      `${name.registry} sent no manifest: ${(error as Error).message}`,
      {cause: error},
    );
  }
}

function typeOf(bytes: Buffer): string | undefined {
  try {
    return readManifest(bytes, undefined).mediaType;
  } catch {
    return undefined;
  }
}

/** The caller stops waiting when it left; what it waited for goes on for the others. */
export async function untilAborted<T>(shared: Promise<T>, signal: AbortSignal): Promise<T> {
  shared.catch(() => undefined); // nobody may be left to hear of its failure, and that ends no process
  signal.throwIfAborted();
  const aborted = Promise.withResolvers<never>();
  const abort = (): void => {
    aborted.reject(signal.reason as Error);
  };
  signal.addEventListener('abort', abort, {once: true});
  try {
    return await Promise.race([shared, aborted.promise]);
  } finally {
    signal.removeEventListener('abort', abort);
  }
}
