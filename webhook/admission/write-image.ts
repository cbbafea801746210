import type {Digest} from '../../oci/digest.ts';
import {printImageReference, type ImageIdentity} from '../../oci/image-reference.ts';
import type {NameMap} from '../../oci/name-map.ts';
import type {RepositoryName} from '../../oci/source.ts';

/**
 * An image as the pod is to name it: the name to pull it under, its tag and its digest. The tag stays, for people, for
 * scanners and for rules about tags; also the `latest` that nobody wrote. Where the name stays, so does its spelling.
 */
export function pinned(written: string, identity: ImageIdentity, names: NameMap, digest: Digest): string {
  const name = names.pulled(identity);
  if (!isSame(name, identity)) return printImageReference({...name, tag: identity.tag, digest});
  return `${sayName(written)}${identity.tag === undefined ? '' : `:${identity.tag}`}@${digest}`;
}

/** The image under the name to pull it under; as it was written if that is its own. */
export function renamed(written: string, identity: ImageIdentity, names: NameMap): string {
  const name = names.pulled(identity);
  return isSame(name, identity) ? written : printImageReference({...identity, ...name});
}

function isSame(a: RepositoryName, b: RepositoryName): boolean {
  return a.registry === b.registry && a.repository === b.repository;
}

/** Without tag and digest. */
function sayName(written: string): string {
  const named = written.split('@', 1)[0] ?? '';
  const colon = named.lastIndexOf(':');
  return colon > named.lastIndexOf('/') ? named.slice(0, colon) : named;
}
