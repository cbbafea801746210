import type {SQLOutputValue} from 'node:sqlite';
import type {Digest} from '../../oci/digest.ts';
import type {Authority, RepositoryName} from '../../oci/source.ts';
import type {ContentKind, Link, TagRecord} from './contract.ts';
import type {IndexDatabase} from './index-database.ts';

type Columns = Readonly<Record<string, SQLOutputValue>>;

/** As the contract says. */
const MAX_LINKS = 100;
/** Names without a blob below them: what was asked by HEAD, or was served through without keeping it. */
const MAX_LOOSE_NAMES = 100_000;

/** Questions about links and tags. Each runs in the index's thread. */
export const nameQueries = {
  links(index: IndexDatabase, digest: Digest, name?: RepositoryName): readonly Link[] {
    const rows =
      name === undefined
        ? index.all('SELECT * FROM links WHERE digest = ? LIMIT ?', digest, MAX_LINKS)
        : index.all(
            'SELECT * FROM links WHERE digest = ? AND registry = ? AND repository = ?',
            digest,
            name.registry,
            name.repository,
          );
    return rows.map(linkOf);
  },

  addLink(index: IndexDatabase, link: Link): void {
    index.run(
      `INSERT OR REPLACE INTO links (digest, registry, repository, authority, kind, media_type, size, proven_at)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
      link.digest,
      link.registry,
      link.repository,
      link.authority,
      link.kind,
      link.mediaType ?? null,
      link.sizeBytes,
      Math.trunc(link.provenAt),
    );
  },

  tag(index: IndexDatabase, name: RepositoryName, tag: string, authority: Authority): TagRecord | undefined {
    const row = index.get(
      'SELECT * FROM tags WHERE registry = ? AND repository = ? AND tag = ? AND authority = ?',
      name.registry,
      name.repository,
      tag,
      authority,
    );
    return row === undefined ? undefined : tagOf(row);
  },

  putTag(index: IndexDatabase, record: TagRecord): void {
    index.run(
      `INSERT OR REPLACE INTO tags (registry, repository, tag, authority, digest, media_type, size, resolved_at)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
      record.registry,
      record.repository,
      record.tag,
      record.authority,
      record.digest,
      record.mediaType,
      record.sizeBytes,
      Math.trunc(record.resolvedAt),
    );
  },

  removeTag(index: IndexDatabase, name: RepositoryName, tag: string, authority: Authority): void {
    index.run(
      'DELETE FROM tags WHERE registry = ? AND repository = ? AND tag = ? AND authority = ?',
      name.registry,
      name.repository,
      tag,
      authority,
    );
  },

  /** Drops links and tags whose blob is not here and that are older than `before`, or too many. @returns how many. */
  tidyNames(index: IndexDatabase, before: number): number {
    let dropped = 0;
    for (const [table, at] of [
      ['links', 'proven_at'],
      ['tags', 'resolved_at'],
    ]) {
      const loose = `FROM ${table} WHERE digest NOT IN (SELECT digest FROM blobs)`;
      dropped += index.run(`DELETE ${loose} AND ${at} < ?`, before);
      if (Number(index.get(`SELECT count(*) AS n ${loose}`)?.['n']) > MAX_LOOSE_NAMES)
        dropped += index.run(`DELETE ${loose}`);
    }
    return dropped;
  },
} as const;

/** `as`: the columns are NOT NULL in a STRICT table that only `addLink` writes. */
function linkOf(row: Columns): Link {
  return {
    registry: row['registry'] as string,
    repository: row['repository'] as string,
    digest: row['digest'] as Digest,
    authority: row['authority'] as Authority,
    kind: row['kind'] as ContentKind,
    mediaType: (row['media_type'] as string | null) ?? undefined,
    sizeBytes: Number(row['size']),
    provenAt: Number(row['proven_at']),
  };
}

/** `as`: the columns are NOT NULL in a STRICT table that only `putTag` writes. */
function tagOf(row: Columns): TagRecord {
  return {
    registry: row['registry'] as string,
    repository: row['repository'] as string,
    tag: row['tag'] as string,
    authority: row['authority'] as Authority,
    digest: row['digest'] as Digest,
    mediaType: row['media_type'] as string,
    sizeBytes: Number(row['size']),
    resolvedAt: Number(row['resolved_at']),
  };
}
