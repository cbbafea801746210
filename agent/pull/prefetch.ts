import type {Digest} from '../../oci/digest.ts';
import {isDigest} from '../../oci/digest.ts';
import {readManifest, type Descriptor, type Manifest} from '../../oci/descriptor.ts';
import {
  NoSuchPlatformError,
  type ApiBackend,
  type PullEvent,
  type Pulled,
  type PullRequest,
  type Refreshed,
} from '../api/backend.ts';
import type {PullRights} from '../access/caller.ts';
import type {HostedBackend} from '../api/hosted.ts';
import {StoreFullError, type Store} from '../store/contract.ts';
import type {Followed} from './followed.ts';
import type {Puller} from './puller.ts';

/** As a runtime pulls (B-037). */
const PARALLEL = 3;
/** An index of indexes of images: deeper is hostile (D-034). */
const MAX_DEPTH = 4;
/** Who opens the agent's socket is its own administrator. */
const ADMINISTRATOR: PullRights = {authority: 'node', allowPrivate: true};

/** What the local API asks of pulling: `noost pull` and `noost refresh`. */
export function newBackend(puller: Puller, store: Store, hosted: HostedBackend | undefined): ApiBackend {
  return {
    store,
    hosted,
    async refresh(name, tag, signal): Promise<Refreshed> {
      const {before, after} = await puller.tags.refresh(name, tag, ADMINISTRATOR, signal);
      return {before, after: after.digest, mediaType: after.mediaType};
    },
    async pull(request, onEvent, signal): Promise<Pulled> {
      const {name, reference} = request;
      const digest = isDigest(reference)
        ? reference
        : (await puller.tags.resolve(name, reference, ADMINISTRATOR, 'body', signal)).digest;
      return new Prefetch(puller, request, onEvent, signal).run(digest);
    },
  };
}

/** Fetches an image with everything below it, for the platforms asked for, as if a runtime had pulled it. */
class Prefetch {
  readonly #puller: Puller;
  readonly #request: PullRequest;
  readonly #onEvent: (event: PullEvent) => void;
  readonly #signal: AbortSignal;
  readonly #seen = new Set<Digest>();
  readonly #wanted: Descriptor[] = [];
  readonly #platforms: string[] = [];
  #manifests = 0;
  #doneBlobs = 0;
  #doneBytes = 0;
  #fetchedBytes = 0;

  constructor(puller: Puller, request: PullRequest, onEvent: (event: PullEvent) => void, signal: AbortSignal) {
    this.#puller = puller;
    this.#request = request;
    this.#onEvent = onEvent;
    this.#signal = signal;
  }

  /** @throws {UpstreamError | IntegrityError | StoreFullError | NoSuchPlatformError} */
  async run(digest: Digest): Promise<Pulled> {
    const root = await this.#collect(digest, 0);
    this.#checkPlatforms(root);
    const totalBytes = this.#wanted.reduce((sum, {sizeBytes}) => sum + sizeBytes, 0);
    const blobs = this.#wanted.length;
    this.#onEvent({event: 'resolved', digest, platforms: this.#platforms, blobs, totalBytes});
    const queue = [...this.#wanted];
    const work = async (): Promise<void> => {
      for (let next = queue.shift(); next !== undefined; next = queue.shift()) await this.#blob(next);
    };
    await Promise.all(Array.from({length: PARALLEL}, work));
    return {
      digest,
      platforms: this.#platforms,
      manifests: this.#manifests,
      blobs,
      totalBytes,
      fetchedBytes: this.#fetchedBytes,
    };
  }

  async #collect(digest: Digest, depth: number): Promise<Manifest> {
    this.#seen.add(digest);
    const content = await this.#puller.manifests.get(this.#request.name, digest, ADMINISTRATOR, this.#signal);
    this.#puller.touch(digest);
    this.#manifests++;
    const manifest = readManifest(content.bytes, content.mediaType);
    for (const child of manifest.manifests) {
      if (this.#seen.has(child.digest) || depth >= MAX_DEPTH || !this.#isWanted(child)) continue;
      if (child.platform !== undefined) this.#platforms.push(platformOf(child));
      await this.#collect(child.digest, depth + 1);
    }
    for (const blob of manifest.blobs) {
      if (this.#seen.has(blob.digest)) continue;
      this.#seen.add(blob.digest);
      this.#wanted.push(blob);
    }
    return manifest;
  }

  #isWanted(child: Descriptor): boolean {
    const {platforms} = this.#request;
    if (platforms === 'all' || child.platform === undefined) return true;
    return platforms.some((wanted) => platformOf(child) === wanted || platformOf(child).startsWith(`${wanted}/`));
  }

  #checkPlatforms(root: Manifest): void {
    const {platforms} = this.#request;
    if (platforms === 'all' || root.manifests.length === 0) return;
    const missing = platforms.filter(
      (wanted) => !this.#platforms.some((has) => has === wanted || has.startsWith(`${wanted}/`)),
    );
    if (missing.length === 0) return;
    const has = [...new Set(root.manifests.filter(({platform}) => platform !== undefined).map(platformOf))];
    throw new NoSuchPlatformError(`The image has nothing for ${missing.join(', ')}; it has ${has.join(', ')}`);
  }

  async #blob({digest, sizeBytes}: Descriptor): Promise<void> {
    this.#signal.throwIfAborted();
    const content = await this.#puller.blobs.open(this.#request.name, digest, ADMINISTRATOR, this.#signal);
    switch (content.from) {
      case 'cache':
        content.blob.close();
        this.#doneBytes += sizeBytes;
        break;
      case 'flight':
        try {
          await this.#follow(content.file);
        } finally {
          content.leave();
        }
        await content.flight.ended; // what was asked for is that it is on disk
        this.#fetchedBytes += sizeBytes;
        break;
      case 'through':
        content.through.close();
        throw new StoreFullError(
          `The cache cannot keep ${digest}: it is full, cannot be written, or was told to keep nothing of this upstream`,
        );
    }
    this.#doneBlobs++;
    this.#onEvent({event: 'blob', digest, sizeBytes, source: content.from === 'cache' ? 'cache' : 'upstream'});
    this.#tell();
  }

  async #follow(file: Followed): Promise<void> {
    for (let counted = 0; ;) {
      this.#doneBytes += file.readableBytes - counted;
      counted = file.readableBytes;
      this.#tell();
      if (file.whole) return;
      if (file.failure !== undefined) throw file.failure;
      this.#signal.throwIfAborted();
      await file.moved();
    }
  }

  #tell(): void {
    this.#onEvent({event: 'progress', doneBlobs: this.#doneBlobs, doneBytes: this.#doneBytes});
  }
}

function platformOf({platform}: Descriptor): string {
  return platform === undefined
    ? 'unknown'
    : [platform.os, platform.architecture, platform.variant].filter((part) => part !== undefined).join('/');
}
