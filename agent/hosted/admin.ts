import {isDigest, type Digest} from '../../oci/digest.ts';
import type {Log} from '../../proc/log.ts';
import type {Caller} from '../access/caller.ts';
import type {
  Collected,
  HostedBackend,
  HostedImage,
  HostedRemoved,
  HostedUsage,
  UntaggedAsk,
  UntaggedManifest,
} from '../api/hosted.ts';
import type {Content, ManifestRecord, Metadata} from './contract.ts';
import type {Hosted} from './hosted.ts';
import {removeImage} from './remove-image.ts';

/** Read from the metadata at a time. */
const PAGE = 1_000;
/** An index of indexes of images; deeper is nobody's image. */
const MAX_DEPTH = 4;

/** Who deletes with `noost rm`, in the history of tags: who may open the agent's socket is its administrator. */
const ADMINISTRATOR: Caller = {
  door: 'direct',
  authority: 'anonymous',
  allowPrivate: false,
  identity: 'noost rm',
  may: () => true,
};

/** What is hosted here, for the commands of this machine's administrator. */
export class HostedAdmin implements HostedBackend {
  readonly host: HostedBackend['host'];
  readonly #hosted: Hosted;
  readonly #log: Log;
  readonly #metadata: Metadata;
  readonly #content: Content;
  constructor(hosted: Hosted, {host, log}: {readonly host: () => string | undefined; readonly log: Log}) {
    this.host = host;
    this.#hosted = hosted;
    this.#log = log;
    ({metadata: this.#metadata, content: this.#content} = hosted.driver);
  }

  async remove(repository: string, reference: string): Promise<HostedRemoved> {
    const {driver, rules} = this.#hosted;
    const removed = await removeImage(driver, rules, {repository, caller: ADMINISTRATOR}, reference);
    const digest = isDigest(reference) ? reference : undefined;
    this.#log.audit({action: 'delete', who: ADMINISTRATOR.identity, repository, reference, digest});
    return removed;
  }

  async removeUntagged({olderThanMs, dryRun}: UntaggedAsk): Promise<readonly UntaggedManifest[]> {
    const removed = await this.#hosted.removeUntagged(olderThanMs, dryRun);
    if (!dryRun)
      for (const {repository, digest} of removed)
        this.#log.audit({action: 'delete', who: 'noost gc', repository, reference: digest, digest});
    return removed;
  }

  async collect(): Promise<Collected> {
    const {blobs, uploads, bytes} = await this.#hosted.collect();
    return {blobs, uploads, freedBytes: bytes};
  }

  async history(...tag: Parameters<HostedBackend['history']>): ReturnType<HostedBackend['history']> {
    return await this.#metadata.history(...tag);
  }

  async images({after = '', limit, match}: Parameters<HostedBackend['images']>[0]): Promise<readonly HostedImage[]> {
    const images: HostedImage[] = [];
    const sizes = new Sizes(this.#content);
    const colon = after.lastIndexOf(':');
    const [from, fromTag] = colon === -1 ? ['', ''] : [after.slice(0, colon), after.slice(colon + 1)];
    for await (const repository of this.#repositories(from))
      for await (const tag of this.#tags(repository, repository === from ? fromTag : '')) {
        if (match !== undefined && !this.#fullName(repository, tag).includes(match)) continue;
        const image = await this.#image(repository, tag, sizes);
        if (image !== undefined) images.push(image);
        if (images.length >= limit) return images;
      }
    return images;
  }

  async usage(): Promise<HostedUsage> {
    const counts = {repositories: 0, tags: 0, uploads: 0, uploadBytes: 0};
    const manifests = new Set<Digest>();
    const blobs = new Set<Digest>();
    for await (const repository of this.#repositories('')) {
      counts.repositories++;
      for await (const _ of this.#tags(repository, '')) counts.tags++;
      for await (const {digest} of this.#metadata.manifests(repository)) manifests.add(digest);
      for await (const {digest} of this.#metadata.links(repository)) blobs.add(digest);
    }
    for await (const {id} of this.#metadata.uploads()) {
      counts.uploads++;
      counts.uploadBytes += (await this.#content.uploadState(id))?.bytes ?? 0;
    }
    const sizes = new Sizes(this.#content);
    const sizeBytes = await sizes.sum(new Set([...manifests, ...blobs]));
    return {...counts, manifests: manifests.size, blobs: blobs.size, sizeBytes};
  }

  #fullName(repository: string, tag: string): string {
    const host = this.host();
    return `${host === undefined ? '' : `${host}/`}${repository}:${tag}`;
  }

  /** `undefined` if it has gone meanwhile. */
  async #image(repository: string, tag: string, sizes: Sizes): Promise<HostedImage | undefined> {
    const state = await this.#metadata.tag(repository, tag);
    if (state === undefined) return undefined;
    const [last] = await this.#metadata.history(repository, tag);
    const needed = new Set<Digest>();
    await this.#collectBelow(repository, state.digest, needed, 0);
    const sizeBytes = await sizes.sum(needed);
    return {repository, tag, digest: state.digest, sizeBytes, movedAt: state.movedAt, by: last?.by};
  }

  async #collectBelow(repository: string, digest: Digest, into: Set<Digest>, depth: number): Promise<void> {
    if (into.has(digest)) return;
    into.add(digest);
    const record: ManifestRecord | undefined =
      depth < MAX_DEPTH ? await this.#metadata.manifest(repository, digest) : undefined;
    for (const child of record?.children ?? []) await this.#collectBelow(repository, child, into, depth + 1);
  }

  /** From `first` on, itself included. */
  async *#repositories(first: string): AsyncIterable<string> {
    if (first !== '' && (await this.#metadata.hasRepository(first))) yield first;
    yield* paged(first, (page) => this.#metadata.repositories(page));
  }

  #tags(repository: string, after: string): AsyncIterable<string> {
    return paged(after, (page) => this.#metadata.tags(repository, page));
  }
}

async function* paged(
  first: string,
  read: (page: {after: string; limit: number}) => Promise<readonly string[]>,
): AsyncIterable<string> {
  for (let after: string | undefined = first; after !== undefined;) {
    const page = await read({after, limit: PAGE});
    yield* page;
    after = page.length < PAGE ? undefined : page.at(-1);
  }
}

/** Sizes of blobs, each asked for once. */
class Sizes {
  readonly #content: Content;
  readonly #known = new Map<Digest, number>();
  constructor(content: Content) {
    this.#content = content;
  }

  async sum(digests: ReadonlySet<Digest>): Promise<number> {
    let bytes = 0;
    for (const digest of digests) {
      const size = this.#known.get(digest) ?? (await this.#content.stat(digest)) ?? 0;
      this.#known.set(digest, size);
      bytes += size;
    }
    return bytes;
  }
}
