import {createHash} from 'node:crypto';

export type Sha256 = `sha256:${string}`;

export interface StoredManifest {
  readonly bytes: Buffer;
  readonly mediaType: string;
  readonly digest: Sha256;
}

/** One repository of the fake registry. */
export interface FakeRepository {
  readonly blobs: Map<string, Buffer>;
  readonly manifests: Map<string, StoredManifest>;
  readonly tags: Map<string, Sha256>;
}

export interface FakeImage {
  readonly digest: Sha256;
  readonly bytes: Buffer;
  readonly config: Sha256;
  readonly layers: readonly Sha256[];
}

const OCI = 'application/vnd.oci.image';
export const MANIFEST_TYPE = `${OCI}.manifest.v1+json`;
export const INDEX_TYPE = `${OCI}.index.v1+json`;

/** What the fake registry holds, and how tests put it there. */
export class FakeContent {
  readonly #repositories = new Map<string, FakeRepository>();

  find(repository: string): FakeRepository | undefined {
    return this.#repositories.get(repository);
  }

  /** The repository, made if it is new. */
  at(repository: string): FakeRepository {
    const found = this.#repositories.get(repository) ?? {blobs: new Map(), manifests: new Map(), tags: new Map()};
    this.#repositories.set(repository, found);
    return found;
  }

  addBlob(repository: string, bytes: Buffer | string): Sha256 {
    const buffer = Buffer.from(bytes);
    const digest = sha256(buffer);
    this.at(repository).blobs.set(digest, buffer);
    return digest;
  }

  /** @param manifest is stored as it is if it is a string or Buffer, else as JSON. */
  addManifest(repository: string, manifest: Buffer | string | object, mediaType: string, tag?: string): Sha256 {
    const isBytes = typeof manifest === 'string' || Buffer.isBuffer(manifest);
    const bytes = Buffer.from(isBytes ? manifest : JSON.stringify(manifest));
    const digest = sha256(bytes);
    this.at(repository).manifests.set(digest, {bytes, mediaType, digest});
    if (tag !== undefined) this.at(repository).tags.set(tag, digest);
    return digest;
  }

  /** An image manifest with its config and layers. */
  addImage(repository: string, tag?: string, layers: readonly (Buffer | string)[] = ['a layer']): FakeImage {
    const config = this.#descriptor(repository, `${OCI}.config.v1+json`, '{"architecture":"amd64","os":"linux"}');
    const described = layers.map((layer) => this.#descriptor(repository, `${OCI}.layer.v1.tar`, layer));
    const bytes = Buffer.from(JSON.stringify({schemaVersion: 2, mediaType: MANIFEST_TYPE, config, layers: described}));
    const digest = this.addManifest(repository, bytes, MANIFEST_TYPE, tag);
    return {digest, bytes, config: config.digest, layers: described.map((layer) => layer.digest)};
  }

  /** An index over images that are already there. */
  addIndex(repository: string, tag: string | undefined, images: readonly FakeImage[]): Sha256 {
    const manifests = images.map(({digest, bytes}, i) => ({
      mediaType: MANIFEST_TYPE,
      digest,
      size: bytes.length,
      platform: {os: 'linux', architecture: ['amd64', 'arm64', 's390x'][i % 3]},
    }));
    return this.addManifest(repository, {schemaVersion: 2, mediaType: INDEX_TYPE, manifests}, INDEX_TYPE, tag);
  }

  /** Descriptors of manifests whose `subject` is `digest`. */
  referrers(repository: string, digest: string): readonly object[] {
    return [...(this.find(repository)?.manifests.values() ?? [])].flatMap(({bytes, mediaType, digest: own}) => {
      const parsed = JSON.parse(bytes.toString()) as {subject?: {digest?: string}; artifactType?: string};
      if (parsed.subject?.digest !== digest) return [];
      return [{mediaType, digest: own, size: bytes.length, artifactType: parsed.artifactType}];
    });
  }

  #descriptor(repository: string, mediaType: string, bytes: Buffer | string) {
    return {mediaType, digest: this.addBlob(repository, bytes), size: Buffer.byteLength(bytes)};
  }
}

function sha256(bytes: Buffer): Sha256 {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
}
