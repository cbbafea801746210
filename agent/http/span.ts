import type {Followed} from '../pull/followed.ts';

/** A part of a file that may still be growing, as a sender sees it. Positions are the file's. */
export interface Span {
  readonly fd: number;
  readonly start: number;
  /** Exclusive. */
  readonly end: number;
  /** Up to where bytes may leave now; `end` only when the response may be completed. */
  limit(): number;
  /** What begins at `start`, where it is in memory and may leave before `limit` says so. Nobody changes it. */
  readonly early?: () => Uint8Array | undefined;
  /** Resolves when `limit`, `early` or `failure` may have changed. */
  moved(): Promise<void>;
  failure(): Error | undefined;
  /** Only of a whole file. */
  readonly checks?: Checks;
}

/** What is known of the blocks (store/sums.ts) of a file: those of which nothing is known are checked before they leave. */
export interface Checks {
  /** Whether what memory holds of a part is known to be right. Offset and length in bytes. */
  isSound(at: number, length: number): boolean;
  /**
   * @param bytes all of the block.
   * @param fromMemory it was in the page cache, all of it, before it was read.
   * @returns whether they are what they were.
   */
  check(block: number, bytes: Uint8Array, fromMemory: boolean): boolean;
}

/** A part of a whole blob. */
export function wholeSpan(fd: number, start: number, end: number): Span {
  return {fd, start, end, limit: () => end, moved: () => Promise.resolve(), failure: () => undefined};
}

/** A whole blob of which only what its checks approve leaves. */
export function checkedSpan(fd: number, sizeBytes: number, checks: Checks): Span {
  return {...wholeSpan(fd, 0, sizeBytes), checks};
}

/**
 * A part of a blob that arrives. Also of a part the last byte is withheld until the whole is verified: nothing
 * unverified ever makes a complete response (design §1.3).
 */
export function followedSpan(file: Followed, start: number, end: number): Span {
  return {
    fd: file.fd,
    start,
    end,
    limit: () => (file.whole ? end : Math.min(file.readableBytes, end - 1)),
    early: () => (start === 0 ? file.early?.subarray(0, end - 1) : undefined),
    moved: () => file.moved(),
    failure: () => file.failure,
  };
}

/** A part of a blob on disk that is being hashed again while it leaves; the last byte waits for the verdict. */
export function verifiedSpan(fd: number, start: number, end: number, verdict: Promise<boolean>): Span {
  let right = false;
  let failure: Error | undefined;
  const settled = verdict.then(
    (ok) => {
      right = ok;
      if (!ok) failure = new Error('The blob on disk has another digest than it had');
    },
    (error: unknown) => {
      failure = error as Error;
    },
  );
  return {fd, start, end, limit: () => (right ? end : end - 1), moved: () => settled, failure: () => failure};
}
