import type {Authority} from '../../oci/source.ts';

/** What is known of a blob once its first source has answered. */
export interface FlightHead {
  readonly sizeBytes: number | undefined;
  readonly authority: Authority;
}

/** A blob that is arriving, as its readers see it: a file that grows up to a watermark. */
export interface Followed {
  readonly fd: number;
  readonly sizeBytes: number | undefined;
  /** Bytes that may be read from `fd`. */
  readonly readableBytes: number;
  /**
   * The beginning, from memory, until it may be read from `fd`, and for good where it could not be written. Never the last
   * byte of the blob. Nobody changes it.
   */
  readonly early: Uint8Array | undefined;
  /** Size and digest are right: only now may a response be completed. */
  readonly whole: boolean;
  /** Why it ended without being whole. */
  readonly failure: Error | undefined;
  /** Resolves when one of the above changes. Never rejects. */
  moved(): Promise<void>;
}
