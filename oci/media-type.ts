/** Media types of manifests. @see https://github.com/opencontainers/image-spec/blob/v1.1.1/media-types.md and A-130 */
export const OCI_INDEX = 'application/vnd.oci.image.index.v1+json';
export const OCI_MANIFEST = 'application/vnd.oci.image.manifest.v1+json';
export const DOCKER_LIST = 'application/vnd.docker.distribution.manifest.list.v2+json';
export const DOCKER_MANIFEST = 'application/vnd.docker.distribution.manifest.v2+json';
const SCHEMA1 = 'application/vnd.docker.distribution.manifest.v1';

/** What is always sent to an upstream: some answer 404 when the stored type is not listed (P-08, A-133). */
export const ACCEPT_MANIFEST = [OCI_INDEX, OCI_MANIFEST, DOCKER_LIST, DOCKER_MANIFEST, '*/*'].join(', ');

/** Whether the type lists other manifests. */
export function isIndex(mediaType: string): boolean {
  return mediaType === OCI_INDEX || mediaType === DOCKER_LIST;
}

/** Whether the type is Docker's first one, whose digest leaves out its signatures. */
export function isSchema1(mediaType: string): boolean {
  return mediaType.startsWith(SCHEMA1);
}

/** A Content-Type without its parameters, in lower case; empty if it is not a media type (A-030, D-036). */
export function bareType(contentType: string | undefined): string {
  const bare = (contentType ?? '').split(';', 1)[0]?.trim().toLowerCase() ?? '';
  return /^[a-z0-9!#$&^_.+-]{1,127}\/[a-z0-9!#$&^_.+-]{1,127}$/.test(bare) ? bare : '';
}
