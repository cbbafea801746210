import type {Digest} from '../../oci/digest.ts';

/** Why blobs were dropped: the byte limit, the free-space watermark, age, or a person (`noost rm`). */
export type EvictionReason = 'size' | 'free' | 'idle' | 'removed';

/** What the store was doing when it could not help. Bounded, for metrics. */
export type StoreOperation = 'open' | 'read' | 'ingest' | 'append' | 'commit' | 'index' | 'evict' | 'sweep' | 'hash';

/** What a store tells of itself, for metrics and log. Called synchronously; must not throw. */
export interface StoreEvents {
  evicted?(reason: EvictionReason, blobs: number, sizeBytes: number): void;
  /** A file was not what its name says (design §1.1): it will be fetched again. */
  quarantined?(digest: Digest): void;
  /** A file without index row was hashed, found right and indexed (killed between rename and index, or a lost index). */
  adopted?(digest: Digest): void;
  /** The store could not help: a miss or a pass-through for the client, never a failure (design §1.2). */
  failed?(operation: StoreOperation, error: unknown): void;
  /** The index was corrupt: it was moved aside and is being built from the files again. */
  rebuilt?(error: unknown): void;
  /** The data folder cannot be used, with the cause, or can again (`undefined`). */
  degraded?(cause: unknown): void;
}
