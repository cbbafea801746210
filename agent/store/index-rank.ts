import type {Digest} from '../../oci/digest.ts';
import type {IndexDatabase} from './index-database.ts';

/** What to make room for. */
export interface RankAsk {
  /** Bytes wanted; `Infinity` with `idleBefore`. */
  readonly bytes: number;
  /** Only what was last used before this, in ms since the epoch. */
  readonly idleBefore: number | undefined;
  readonly now: number;
  /** Set by tests: how long one call may hold the index, in ms. */
  readonly budgetMs?: number;
}

/** Blobs to drop, images one after the other, the coldest first. */
export interface RankAnswer {
  readonly digests: readonly Digest[];
  /** The call ended because its time or size was up: ask again after dropping these. */
  readonly more: boolean;
}

interface Ranked {
  readonly digest: Digest;
  readonly usedAt: number;
}

/** A look-up never waits longer than this for a ranking under way. */
const BUDGET_MS = 15;
const MAX_DIGESTS = 256;
/** Parts of one pull: a child that was used this much later than the index above it still goes with it. */
const SAME_PULL_MS = 10 * 60_000;
/** Levels of manifests above a blob: an index in an index is the most that is seen in the wild (D-034). */
const MAX_LEVELS = 8;
/** Ancestors looked at for one blob (D-034); what has more is in use by all likelihood. */
const MAX_ANCESTORS = 1000;

/** What is hosted is nobody's to evict. */
const CACHED = 'b.digest NOT IN (SELECT digest FROM hosted)';
/** Manifests on disk that reach `?`, itself included. */
const UP = `WITH RECURSIVE up(d) AS (SELECT ? UNION
  SELECT c.parent FROM up JOIN children c ON c.child = up.d JOIN blobs b ON b.digest = c.parent LIMIT ${MAX_ANCESTORS})`;
/** Latest use of it and of all above it, and whether one of them is protected. */
const LATEST = `${UP} SELECT max(b.used_at) AS used, max(b.digest IN (SELECT digest FROM protected)) AS safe
  FROM up JOIN blobs b ON b.digest = up.d`;
/** Latest use of the blobs that only this manifest needs: who asks for one of those uses the image. */
const OWN_BLOBS = `SELECT max(b.used_at) AS used FROM children c JOIN blobs b ON b.digest = c.child
  WHERE c.parent = ? AND b.kind = 'blob' AND NOT EXISTS (
    SELECT 1 FROM children o JOIN blobs p ON p.digest = o.parent WHERE o.child = c.child AND o.parent <> c.parent)`;
const PARENTS = `SELECT b.digest, b.used_at FROM children c JOIN blobs b ON b.digest = c.parent
  WHERE c.child = ? AND ${CACHED} ORDER BY b.used_at LIMIT ${MAX_ANCESTORS}`;
const CHILDREN = `SELECT b.digest, b.used_at, b.kind, b.size FROM children c JOIN blobs b ON b.digest = c.child
  WHERE c.parent = ? AND ${CACHED}`;

/** Which images to evict (design §5). Each call runs in the index's thread and is short. */
export const rankQueries = {
  /**
   * Walks the blobs from the least recently used on. What a more recently used manifest needs is *raised* to that
   * use, in the index, so that it is passed only once; what is left at the cold end is an image, or a blob that no
   * manifest here needs. Nothing is dropped: the store does that, when it has seen that nobody is writing it.
   */
  rank(index: IndexDatabase, ask: RankAsk): RankAnswer {
    return index.transaction(() => new Ranking(index, ask).run());
  },

  /** Replaces the set of what is never evicted: what running pods use, what is pinned. */
  protect(index: IndexDatabase, digests: readonly Digest[]): void {
    index.transaction(() => {
      index.run('DELETE FROM protected');
      for (const digest of digests) index.run('INSERT OR IGNORE INTO protected (digest) VALUES (?)', digest);
    });
  },

  /** Last uses, in ms since the epoch. */
  touch(index: IndexDatabase, uses: readonly (readonly [Digest, number])[]): void {
    index.transaction(() => {
      for (const [digest, at] of uses)
        index.run('UPDATE blobs SET used_at = ? WHERE digest = ?', Math.trunc(at), digest);
    });
  },

  /** The clock has jumped: all last uses move along, so that their order and their ages stay. */
  slide(index: IndexDatabase, byMs: number): void {
    index.run('UPDATE blobs SET used_at = used_at + ?', Math.trunc(byMs));
  },

  /** At start: last uses that lie in the future (the clock was wrong then, or is now) are moved to end now. */
  clamp(index: IndexDatabase, now: number): void {
    const last = Number(index.get('SELECT max(used_at) AS last FROM blobs')?.['last'] ?? 0);
    if (last > now) rankQueries.slide(index, Math.trunc(now) - last);
  },
} as const;

class Ranking {
  readonly #index: IndexDatabase;
  readonly #ask: RankAsk;
  readonly #until: number;
  readonly #gone = new Set<Digest>();
  #bytes = 0;
  constructor(index: IndexDatabase, ask: RankAsk) {
    this.#index = index;
    this.#ask = ask;
    this.#until = performance.now() + (ask.budgetMs ?? BUDGET_MS);
  }

  run(): RankAnswer {
    let cursor: Ranked | undefined;
    while (this.#bytes < this.#ask.bytes) {
      cursor = this.#next(cursor);
      if (cursor === undefined) return {digests: [...this.#gone], more: false};
      this.#settle(cursor);
      // At least one step a call: it always gets somewhere.
      if (this.#gone.size >= MAX_DIGESTS || performance.now() >= this.#until)
        return {digests: [...this.#gone], more: this.#bytes < this.#ask.bytes};
    }
    return {digests: [...this.#gone], more: false};
  }

  #next(after: Ranked | undefined): Ranked | undefined {
    const row = this.#index.get(
      `SELECT b.digest, b.used_at FROM blobs b WHERE (b.used_at, b.digest) > (?, ?) AND b.used_at < ? AND ${CACHED}
       ORDER BY b.used_at, b.digest LIMIT 1`,
      after?.usedAt ?? Number.MIN_SAFE_INTEGER,
      after?.digest ?? '',
      this.#ask.idleBefore ?? Number.MAX_SAFE_INTEGER,
    );
    return row === undefined ? undefined : rankedOf(row);
  }

  /** Raises the blob, or takes the image at its root, until it is one or the other. */
  #settle(blob: Ranked): void {
    while (!this.#gone.has(blob.digest)) {
      const root = this.#root(blob);
      const top = this.#standing(root.digest);
      const own = this.#standing(blob.digest);
      const latest = Math.max(own.latest, top.latest, own.safe ? this.#ask.now : 0);
      if (top.latest > root.usedAt) this.#raise(root.digest, top.latest);
      if (latest > blob.usedAt) this.#raise(blob.digest, latest);
      if (latest > blob.usedAt || own.safe) return;
      this.#take(root, blob.usedAt);
    }
  }

  /** The coldest manifest at the top of what needs this blob; itself if nothing does. */
  #root(blob: Ranked): Ranked {
    let root = blob;
    for (let level = 0; level < MAX_LEVELS; level++) {
      const parent = this.#parents(root.digest)[0];
      if (parent === undefined) return root;
      root = parent;
    }
    return root;
  }

  #parents(digest: Digest): Ranked[] {
    return this.#index
      .all(PARENTS, digest)
      .map(rankedOf)
      .filter((parent) => !this.#gone.has(parent.digest));
  }

  /** Latest use that counts for it, and whether it or what needs it is protected. */
  #standing(digest: Digest): {readonly latest: number; readonly safe: boolean} {
    const row = this.#index.get(LATEST, digest);
    const own = this.#index.get(OWN_BLOBS, digest);
    return {latest: Math.max(Number(row?.['used'] ?? 0), Number(own?.['used'] ?? 0)), safe: row?.['safe'] === 1};
  }

  #raise(digest: Digest, usedAt: number): void {
    this.#index.run('UPDATE blobs SET used_at = ? WHERE digest = ?', usedAt, digest);
  }

  /** The image below `root` and all that nothing else here needs, or that was used with it. */
  #take(root: Ranked, usedAt: number): void {
    const stack = [root.digest];
    for (let digest = stack.pop(); digest !== undefined; digest = stack.pop()) {
      this.#drop(digest);
      for (const row of this.#index.all(CHILDREN, digest)) {
        const child = rankedOf(row);
        if (this.#gone.has(child.digest) || this.#parents(child.digest).length > 0) continue;
        const {latest, safe} = this.#standing(child.digest);
        if (!safe && (row['kind'] === 'blob' || latest <= usedAt + SAME_PULL_MS)) stack.push(child.digest);
      }
    }
  }

  #drop(digest: Digest): void {
    if (this.#gone.has(digest)) return;
    this.#gone.add(digest);
    this.#bytes += Number(this.#index.get('SELECT size FROM blobs WHERE digest = ?', digest)?.['size'] ?? 0);
  }
}

function rankedOf(row: Readonly<Record<string, unknown>>): Ranked {
  return {digest: row['digest'] as Digest, usedAt: Number(row['used_at'])}; // NOT NULL, written by commit
}
