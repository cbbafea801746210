import type {SQLOutputValue} from 'node:sqlite';
import type {Digest} from '../../oci/digest.ts';
import type {RepositoryName} from '../../oci/source.ts';
import type {ImageRecord} from './contract.ts';
import type {IndexDatabase} from './index-database.ts';

/** A page of the list of images: those after `after` whose name has `match` in it. */
export interface ImagesAsk {
  /** `registry/repository:tag` or `registry/repository@digest`. */
  readonly after: string;
  readonly limit: number;
  readonly match: string;
}

/** Levels and number of blobs followed below one image (D-034). */
const MAX_LEVELS = 4;
const MAX_BELOW = 20_000;

/** A tag that two authorities resolved is one line: the later answer. A child of a listed index is part of that. */
const IMAGES = `SELECT * FROM (
    SELECT registry || '/' || repository || ':' || tag AS name, registry, repository, tag AS reference, digest,
      media_type, max(resolved_at) AS resolved_at FROM tags GROUP BY registry, repository, tag
    UNION ALL
    SELECT registry || '/' || repository || '@' || digest, registry, repository, digest, digest,
      coalesce(media_type, ''), NULL FROM links l
    WHERE kind = 'manifest' AND digest IN (SELECT digest FROM blobs)
      AND NOT EXISTS (SELECT 1 FROM tags t
        WHERE t.digest = l.digest AND t.registry = l.registry AND t.repository = l.repository)
      AND NOT EXISTS (SELECT 1 FROM children c JOIN blobs b ON b.digest = c.parent
        JOIN links p ON p.digest = c.parent AND p.registry = l.registry AND p.repository = l.repository
        WHERE c.child = l.digest)
    GROUP BY registry, repository, digest)
  WHERE name > ? AND (? = '' OR instr(name, ?) > 0) ORDER BY name LIMIT ?`;

/** Questions of `noost ls` and `noost rm`. Each runs in the index's thread. */
export const imageQueries = {
  images(index: IndexDatabase, ask: ImagesAsk): readonly ImageRecord[] {
    return index.all(IMAGES, ask.after, ask.match, ask.match, ask.limit).map((row) => imageOf(index, row));
  },

  /**
   * Forgets a tag, or a digest in one repository.
   * @returns what nothing else needs any more, to be dropped: no other tag, repository or manifest.
   */
  release(index: IndexDatabase, name: RepositoryName, reference: string): readonly Digest[] {
    return index.transaction(() => {
      const at = [name.registry, name.repository, reference] as const;
      const column = reference.includes(':') ? 'digest' : 'tag'; // a tag has no colon
      const rows = index.all(`SELECT digest FROM tags WHERE registry = ? AND repository = ? AND ${column} = ?`, ...at);
      index.run(`DELETE FROM tags WHERE registry = ? AND repository = ? AND ${column} = ?`, ...at);
      const digests = new Set(rows.map((row) => row['digest'] as Digest)); // written by putTag
      if (column === 'digest') digests.add(reference as Digest); // the caller parsed it
      return [...digests].flatMap((digest) => releaseDigest(index, name, digest));
    });
  },
} as const;

function imageOf(index: IndexDatabase, row: Readonly<Record<string, SQLOutputValue>>): ImageRecord {
  const digest = row['digest'] as Digest; // written by putTag and addLink, as the others here
  const below = new Below(index);
  const complete = below.visit(digest, 0);
  return {
    registry: row['registry'] as string,
    repository: row['repository'] as string,
    reference: row['reference'] as string,
    digest,
    mediaType: row['media_type'] as string,
    sizeBytes: below.sizeBytes,
    complete,
    usedAt: below.usedAt,
    resolvedAt: row['resolved_at'] === null ? undefined : Number(row['resolved_at']),
  };
}

/** Sums up what is on disk below a manifest, each blob once. */
class Below {
  sizeBytes = 0;
  usedAt = 0;
  readonly #index: IndexDatabase;
  /** Digest → whether it is here with all below it. */
  readonly #seen = new Map<string, boolean>();
  constructor(index: IndexDatabase) {
    this.#index = index;
  }

  visit(digest: string, level: number): boolean {
    const seen = this.#seen.get(digest);
    if (seen !== undefined) return seen;
    const row = this.#index.get('SELECT size, used_at, kind FROM blobs WHERE digest = ?', digest);
    this.#seen.set(digest, row !== undefined);
    if (row === undefined || this.#seen.size > MAX_BELOW) return false;
    this.sizeBytes += Number(row['size']);
    this.usedAt = Math.max(this.usedAt, Number(row['used_at']));
    const complete = row['kind'] === 'blob' || this.#visitChildren(digest, level);
    this.#seen.set(digest, complete);
    return complete;
  }

  /** Of an index one whole platform is enough; of an image everything is needed. */
  #visitChildren(digest: string, level: number): boolean {
    if (level >= MAX_LEVELS) return false;
    const children = this.#index.all(
      `SELECT c.child, coalesce(b.kind, '') AS kind FROM children c LEFT JOIN blobs b ON b.digest = c.child
       WHERE c.parent = ? LIMIT ?`,
      digest,
      MAX_BELOW,
    );
    const whole = children.map((child) => this.visit(String(child['child']), level + 1));
    const isIndex = children.some((child) => child['kind'] === 'manifest');
    return isIndex ? whole.includes(true) : whole.every(Boolean);
  }
}

function releaseDigest(index: IndexDatabase, name: RepositoryName, digest: Digest): Digest[] {
  const others = index.get(
    `SELECT EXISTS (SELECT 1 FROM tags WHERE digest = ?) OR EXISTS (SELECT 1 FROM links WHERE digest = ? AND
      NOT (registry = ? AND repository = ?)) OR EXISTS (SELECT 1 FROM children c JOIN blobs b ON b.digest = c.parent
      WHERE c.child = ?) AS needed`,
    digest,
    digest,
    name.registry,
    name.repository,
    digest,
  );
  index.run(
    'DELETE FROM links WHERE digest = ? AND registry = ? AND repository = ?',
    digest,
    name.registry,
    name.repository,
  );
  return others?.['needed'] === 1 ? [] : exclusiveBelow(index, digest);
}

/** The digest and all below it that no other manifest here and no tag needs. */
function exclusiveBelow(index: IndexDatabase, root: Digest): Digest[] {
  const gone = new Set<string>();
  const stack: string[] = [root];
  for (let digest = stack.pop(); digest !== undefined; digest = stack.pop()) {
    gone.add(digest);
    const children = index.all(
      'SELECT c.child FROM children c JOIN blobs b ON b.digest = c.child WHERE c.parent = ?',
      digest,
    );
    for (const child of children.map((row) => String(row['child']))) {
      const parents = index.all(
        'SELECT c.parent FROM children c JOIN blobs b ON b.digest = c.parent WHERE c.child = ?',
        child,
      );
      const isTagged = index.get('SELECT 1 FROM tags WHERE digest = ? LIMIT 1', child) !== undefined;
      if (!gone.has(child) && !isTagged && parents.every((row) => gone.has(String(row['parent'])))) stack.push(child);
    }
  }
  return [...gone] as Digest[]; // from the table
}
