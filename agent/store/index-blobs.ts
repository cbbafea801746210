import type {SQLOutputValue} from 'node:sqlite';
import type {Digest} from '../../oci/digest.ts';
import {fault} from '../../proc/fault.ts';
import type {BlobRecord, Link} from './contract.ts';
import type {IndexDatabase} from './index-database.ts';
import {nameQueries} from './index-names.ts';

/** A blob as the index has it. */
export interface BlobRow extends BlobRecord {
  /** The file's times when it was last known to be right: see `stampOf`. */
  readonly stamp: string;
}

export interface IndexStats {
  readonly blobs: number;
  readonly manifests: number;
  readonly tags: number;
  readonly sizeBytes: number;
}

type Columns = Readonly<Record<string, SQLOutputValue>>;

const COLUMNS = 'digest, kind, size, media_type, stamp';

/** Questions about blobs. Each runs in the index's thread. */
export const blobQueries = {
  stats(index: IndexDatabase): IndexStats {
    const row = index.get(`SELECT count(*) AS blobs, coalesce(sum(kind = 'manifest'), 0) AS manifests,
      coalesce(sum(size), 0) AS size, (SELECT count(*) FROM tags) AS tags FROM blobs
      WHERE digest NOT IN (SELECT digest FROM hosted)`);
    const [blobs, manifests] = [Number(row?.['blobs']), Number(row?.['manifests'])];
    return {blobs: blobs - manifests, manifests, tags: Number(row?.['tags']), sizeBytes: Number(row?.['size'])};
  },

  blob(index: IndexDatabase, digest: Digest): BlobRow | undefined {
    const row = index.get(`SELECT ${COLUMNS} FROM blobs WHERE digest = ?`, digest);
    return row === undefined ? undefined : rowOf(row);
  },

  /** @returns by how many bytes the cache has grown: 0 if it was there, or is hosted. */
  commit(index: IndexDatabase, row: BlobRow, children: readonly Digest[], link: Link | undefined, now: number): number {
    return index.transaction(() => {
      const before = index.get('SELECT size FROM blobs WHERE digest = ?', row.digest);
      index.run(
        `INSERT OR REPLACE INTO blobs (${COLUMNS}, used_at) VALUES (?, ?, ?, ?, ?, ?)`,
        row.digest,
        row.kind,
        row.sizeBytes,
        row.mediaType ?? null,
        row.stamp,
        now,
      );
      for (const child of children)
        index.run('INSERT OR IGNORE INTO children (parent, child) VALUES (?, ?)', row.digest, child);
      if (link !== undefined) nameQueries.addLink(index, link);
      fault('store.index.write');
      return isHosted(index, row.digest) ? 0 : row.sizeBytes - Number(before?.['size'] ?? 0);
    });
  },

  /** The file was hashed again and is right although its times have changed. */
  restamp(index: IndexDatabase, digest: Digest, sizeBytes: number, stamp: string): void {
    index.run('UPDATE blobs SET size = ?, stamp = ? WHERE digest = ?', sizeBytes, stamp, digest);
  },

  /**
   * Drops rows. @param forget also the links and tags: for what is evicted, not for what is fetched again at once.
   * @returns bytes of what was there and is not hosted.
   */
  drop(index: IndexDatabase, digests: readonly Digest[], forget: boolean): number {
    return index.transaction(() => {
      let bytes = 0;
      for (const digest of digests) {
        const row = index.get('DELETE FROM blobs WHERE digest = ? RETURNING size', digest);
        if (!isHosted(index, digest)) bytes += Number(row?.['size'] ?? 0);
        index.run('DELETE FROM children WHERE parent = ?', digest);
        if (!forget) continue;
        index.run('DELETE FROM links WHERE digest = ?', digest);
        index.run('DELETE FROM tags WHERE digest = ?', digest);
      }
      return bytes;
    });
  },

  /** These are hosted from now on. @returns bytes that the cache has less of. */
  host(index: IndexDatabase, digests: readonly Digest[]): number {
    return index.transaction(() => {
      let bytes = 0;
      for (const digest of digests)
        if (index.run('INSERT OR IGNORE INTO hosted (digest) VALUES (?)', digest) > 0) bytes += sizeOf(index, digest);
      return bytes;
    });
  },

  /** It is hosted no more. @returns bytes that the cache has more of. */
  unhost(index: IndexDatabase, digest: Digest): number {
    return index.run('DELETE FROM hosted WHERE digest = ?', digest) > 0 ? sizeOf(index, digest) : 0;
  },

  /** Bytes and number of what is hosted and on disk. */
  hostedStats(index: IndexDatabase): {readonly blobs: number; readonly sizeBytes: number} {
    const row = index.get(`SELECT count(*) AS blobs, coalesce(sum(size), 0) AS size FROM blobs
      WHERE digest IN (SELECT digest FROM hosted)`);
    return {blobs: Number(row?.['blobs']), sizeBytes: Number(row?.['size'])};
  },

  /** Digests and sizes of a shard, `sha256:aa`, for comparing with its folder. */
  shard(index: IndexDatabase, prefix: string): readonly {readonly digest: Digest; readonly sizeBytes: number}[] {
    return index
      .all('SELECT digest, size FROM blobs WHERE digest >= ? AND digest < ?', prefix, `${prefix}g`) // g: after hex
      .map((row) => ({digest: row['digest'] as Digest, sizeBytes: Number(row['size'])})); // written by commit
  },

  /** The next blobs after `digest` in digest order. */
  after(index: IndexDatabase, digest: string, limit: number): readonly Digest[] {
    return index
      .all('SELECT digest FROM blobs WHERE digest > ? ORDER BY digest LIMIT ?', digest, limit)
      .map((row) => row['digest'] as Digest); // written by commit
  },
} as const;

function isHosted(index: IndexDatabase, digest: Digest): boolean {
  return index.get('SELECT 1 FROM hosted WHERE digest = ?', digest) !== undefined;
}

function sizeOf(index: IndexDatabase, digest: Digest): number {
  return Number(index.get('SELECT size FROM blobs WHERE digest = ?', digest)?.['size'] ?? 0);
}

/** `as`: the columns are NOT NULL in a STRICT table that only `commit` writes. */
function rowOf(row: Columns): BlobRow {
  return {
    digest: row['digest'] as Digest,
    kind: row['kind'] as BlobRow['kind'],
    sizeBytes: Number(row['size']),
    mediaType: (row['media_type'] as string | null) ?? undefined,
    stamp: row['stamp'] as string,
  };
}
