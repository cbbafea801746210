import type {Digest} from '../../oci/digest.ts';
import type {Authority, RepositoryName} from '../../oci/source.ts';
import type {Link, Store} from '../store/contract.ts';

/** What a caller of this authority may see: the node's runtime also what anyone may. */
export function sees(caller: Authority, link: {readonly authority: Authority}): boolean {
  return caller === 'node' || link.authority === 'anonymous';
}

/** The link through which a caller reaches a digest in a repository; `undefined` if it has not been proven. */
export async function usableLink(
  store: Store,
  name: RepositoryName,
  digest: Digest,
  caller: Authority,
): Promise<Link | undefined> {
  const known = store.peekLinks(digest, name) ?? (await store.links(digest, name));
  return known.find((link) => sees(caller, link));
}

/**
 * Whether a registry's word ("200, I have it") is enough to show bytes that we hold already. It is for content
 * that anyone may have, and for content that came from the same registry. Otherwise a registry that an attacker
 * owns could claim the digest of somebody's private layer and read it from our cache: then the registry has to
 * deliver the bytes (design §8, D-022).
 * @param isSameRegistry one name may stand for several servers, by path.
 */
export async function wordSuffices(
  store: Store,
  digest: Digest,
  isSameRegistry: (other: RepositoryName) => boolean,
): Promise<boolean> {
  const everywhere = await store.links(digest);
  return everywhere.some((link) => link.authority === 'anonymous' || isSameRegistry(link));
}
