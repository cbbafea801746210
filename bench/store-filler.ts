import {createHash} from 'node:crypto';
import {mkdirSync, statSync, writeFileSync} from 'node:fs';
import type {Digest} from '../oci/digest.ts';
import type {RepositoryName} from '../oci/source.ts';
import {stampOf} from '../agent/store/disk-blob.ts';
import {Folder, prepareFolder} from '../agent/store/folder.ts';
import {blobQueries} from '../agent/store/index-blobs.ts';
import {IndexDatabase} from '../agent/store/index-database.ts';
import {nameQueries} from '../agent/store/index-names.ts';
import {MANIFEST_TYPE} from './dataset.ts';

export interface Filling {
  readonly blobs: number;
  /** Each is of a manifest of its own, which are among the blobs. */
  readonly tags: number;
  readonly registry: string;
}

const BLOB_BYTES = 512;
const TAGS_PER_REPOSITORY = 10;
const DAY_MS = 86_400_000;

/**
 * Makes a data folder as an agent would have left it after long use. Files and index are written as the store's own code
 * writes them, but without a sync for each: 100,000 of those take longer than anybody waits.
 */
export function fillStore(root: string, filling: Filling): void {
  const folder = prepareFolder(root);
  const index = new IndexDatabase(folder.index);
  const shards = new Set<string>();
  const now = Date.now();
  const perManifest = Math.max(1, Math.floor(filling.blobs / filling.tags) - 1);
  for (let tag = 0; tag < filling.tags; tag++) {
    const name: RepositoryName = {
      registry: filling.registry,
      repository: `app/r${Math.floor(tag / TAGS_PER_REPOSITORY)}`,
    };
    const layers = Array.from({length: perManifest}, (_, i) => blob(folder, shards, `layer ${tag} ${i}`));
    const manifest = blob(folder, shards, JSON.stringify({mediaType: MANIFEST_TYPE, tag, layers}));
    const usedAt = now - (tag % 20) * DAY_MS;
    const common = {...name, sizeBytes: BLOB_BYTES, authority: 'anonymous', provenAt: usedAt} as const;
    for (const digest of layers) {
      const link = {...common, digest, kind: 'blob', mediaType: undefined} as const;
      const row = {
        digest,
        kind: 'blob',
        sizeBytes: BLOB_BYTES,
        mediaType: undefined,
        stamp: stampAt(folder, digest),
      } as const;
      blobQueries.commit(index, row, [], link, usedAt);
    }
    const link = {...common, digest: manifest, kind: 'manifest', mediaType: MANIFEST_TYPE} as const;
    const row = {
      digest: manifest,
      kind: 'manifest',
      sizeBytes: BLOB_BYTES,
      mediaType: MANIFEST_TYPE,
      stamp: stampAt(folder, manifest),
    } as const;
    blobQueries.commit(index, row, layers, link, usedAt);
    const {provenAt: resolvedAt, ...rest} = common;
    nameQueries.putTag(index, {...rest, tag: `v${tag}`, digest: manifest, mediaType: MANIFEST_TYPE, resolvedAt});
  }
  index.close();
}

function blob(folder: Folder, shards: Set<string>, content: string): Digest {
  const bytes = Buffer.alloc(BLOB_BYTES, ' ');
  bytes.write(content.slice(0, BLOB_BYTES));
  const digest: Digest = `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
  const shard = folder.shard(digest);
  if (!shards.has(shard)) {
    mkdirSync(shard, {recursive: true, mode: 0o700});
    shards.add(shard);
  }
  writeFileSync(folder.blob(digest), bytes, {mode: 0o400});
  return digest;
}

function stampAt(folder: Folder, digest: Digest): string {
  return stampOf(statSync(folder.blob(digest), {bigint: true}));
}
