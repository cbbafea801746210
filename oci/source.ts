import type {Readable} from 'node:stream';
import type {Digest} from './digest.ts';

/** A repository at a registry, both normalised: `registry` is `host[:port]` in lower case, Docker Hub is `docker.io`. */
export interface RepositoryName {
  readonly registry: string;
  readonly repository: string;
}

/** With whose rights content was fetched: nobody's, or the node's own credentials (design §3, links). */
export type Authority = 'anonymous' | 'node';

export interface AskOptions {
  /** The most that may be used: `anonymous` never sends the node's credentials. */
  readonly authority: Authority;
  /** Whether an upstream that is not configured may be at a private (RFC 1918, ULA, CGNAT) address. Never loopback or link-local. */
  readonly allowPrivate: boolean;
  readonly signal: AbortSignal;
}

/** The beginning of a blob's answer. The caller reads `body` to its end or destroys it. */
export interface BlobAnswer {
  /** Raw bytes as they came (P-07), from `offset` on. */
  readonly body: Readable;
  /** Where `body` begins: the offset asked for, or 0 if the source ignored the range. */
  readonly offset: number;
  /** Size of the whole blob; `undefined` if the source did not say (C-054). */
  readonly sizeBytes: number | undefined;
  /** What was really used. */
  readonly authority: Authority;
}

/** Something that has blobs: an upstream, a mirror, later a peer or the hosted store. */
export interface Source {
  /** For logs and metrics: bounded. */
  readonly kind: 'upstream' | 'mirror' | 'peer' | 'hosted';
  /**
   * Opens the blob at `offset`. Resolves as soon as the answer's headers are there.
   * @throws {UpstreamError}
   */
  open(digest: Digest, offset: number, options: AskOptions): Promise<BlobAnswer>;
}

/** What a HEAD or GET of a manifest said. */
export interface ManifestHead {
  /** From the body where there is one (C-055), else from Docker-Content-Digest; `undefined` if a HEAD did not say. */
  readonly digest: Digest | undefined;
  /** Without parameters. */
  readonly mediaType: string;
  readonly sizeBytes: number | undefined;
  readonly authority: Authority;
}

export interface ManifestAnswer extends ManifestHead {
  readonly digest: Digest;
  readonly sizeBytes: number;
  /** Exactly as received (P-06). */
  readonly bytes: Buffer;
}

/** A page of a tags list or of referrers, as the upstream sent it, at most some MiB. */
export interface Page {
  readonly bytes: Buffer;
  readonly mediaType: string;
  /** Query of the upstream's `Link: …; rel="next"`, without `?`; `undefined` on the last page. */
  readonly nextQuery: string | undefined;
  /** OCI-Filters-Applied, if it was there and well formed. */
  readonly filtersApplied: string | undefined;
  readonly authority: Authority;
}

/** One registry as seen from the node: its mirrors, credentials, limits and temper behind four questions. */
export interface Upstream {
  /** As metrics name it: the configured host, or `other` (E-002). */
  readonly label: string;
  /** Where a blob can be had, in the order to try: mirrors, then the registry itself. */
  sources(name: RepositoryName): readonly Source[];
  /** HEAD, or GET where HEAD lies (P-17). @throws {UpstreamError} */
  headManifest(name: RepositoryName, reference: string, options: AskOptions): Promise<ManifestHead>;
  /** @param reference a tag, or a digest that the bytes are checked against. @throws {UpstreamError | IntegrityError} */
  getManifest(name: RepositoryName, reference: string, options: AskOptions): Promise<ManifestAnswer>;
  /** @param query passed on after `?`; validated by the caller. @throws {UpstreamError} */
  listTags(name: RepositoryName, query: string, options: AskOptions): Promise<Page>;
  /** @throws {UpstreamError} `notFound` where the upstream has no referrers API. */
  listReferrers(name: RepositoryName, digest: Digest, query: string, options: AskOptions): Promise<Page>;
}
