import type {Digest} from '../../../oci/digest.ts';

/** What one user's pushes rely on of a blob: how often they sent it, and how often they found it. */
interface Claim {
  sent: number;
  asked: number;
  /** Of the last one, in ms since the epoch. */
  at: number;
}

/** An entry is some 150 bytes. Beyond, all are forgotten: then the times of the links speak, and last their time. */
const MAX_CLAIMS = 200_000;
const NOBODY = '';

/** Who relies on which links. A push is several requests of one user, and what another's have claimed is not its to take back. */
export class Claims {
  /** Repository → user → digest → claim. */
  readonly #claims = new Map<string, Map<string, Map<Digest, Claim>>>();
  #size = 0;

  add(
    how: 'sent' | 'asked',
    repository: string,
    {digest, by, at}: {digest: Digest; by: string | undefined; at: number},
  ): void {
    if (this.#size >= MAX_CLAIMS) this.#clear();
    const users = this.#claims.get(repository) ?? new Map<string, Map<Digest, Claim>>();
    const own = users.get(by ?? NOBODY) ?? new Map<Digest, Claim>();
    const claim = own.get(digest) ?? {sent: 0, asked: 0, at};
    if (claim.sent + claim.asked === 0) this.#size++;
    claim[how]++;
    claim.at = at;
    this.#claims.set(repository, users.set(by ?? NOBODY, own.set(digest, claim)));
  }

  has(repository: string, digest: Digest): boolean {
    for (const own of this.#claims.get(repository)?.values() ?? []) if (own.has(digest)) return true;
    return false;
  }

  /**
   * A manifest was put: takes back what its own push has claimed. Which that is can only be told by what was claimed. What
   * was sent is the first manifest's that names it. What was found is its own if it names all that its user claims here
   * now: who puts another tag or other annotations on what is there has asked for nothing, and the claims are those of
   * another push. Where in doubt they stay.
   * @param isNew whether the manifest was not there before.
   * @returns digests that nobody claims any more.
   */
  take(
    repository: string,
    by: string | undefined,
    {digests, isNew}: {digests: readonly Digest[]; isNew: boolean},
  ): readonly Digest[] {
    const own = this.#claims.get(repository)?.get(by ?? NOBODY);
    if (own === undefined) return [];
    const isAll = own.size === digests.length && digests.every((digest) => own.has(digest));
    if (!isNew && !isAll) return [];
    return digests.filter((digest) => {
      const claim = own.get(digest);
      if (claim === undefined) return false;
      if (claim.sent > 0) claim.sent--;
      else if (isAll) claim.asked--;
      if (claim.sent + claim.asked > 0) return false;
      this.#drop(repository, by ?? NOBODY, digest);
      return !this.has(repository, digest);
    });
  }

  /** The link is gone. */
  forget(repository: string, digest: Digest): void {
    for (const by of this.#claims.get(repository)?.keys() ?? []) this.#drop(repository, by, digest);
  }

  /** Forgets claims of pushes that never came to an end. */
  tidy(before: number): void {
    for (const [repository, users] of this.#claims)
      for (const [by, own] of users)
        for (const [digest, {at}] of own) if (at < before) this.#drop(repository, by, digest);
  }

  #drop(repository: string, by: string, digest: Digest): void {
    const users = this.#claims.get(repository);
    const own = users?.get(by);
    if (users === undefined || own?.delete(digest) !== true) return;
    this.#size--;
    if (own.size === 0) users.delete(by);
    if (users.size === 0) this.#claims.delete(repository);
  }

  #clear(): void {
    this.#claims.clear();
    this.#size = 0;
  }
}
