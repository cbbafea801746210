import koffi from 'koffi';

/** The system calls that Node does not offer. Offsets and lengths in bytes; a negative result is a failure. */
export interface Native {
  /** In a thread of the pool: for what may have to come from the disk. Never waits for the socket (non-blocking, by libuv). */
  sendfile(out: number, file: number, at: number, length: number): Promise<number>;
  /** At once, on this thread: only for what is `resident`. */
  sendfileNow(out: number, file: number, at: number, length: number): number;
  /** Whether this part of the file is in the page cache, by a sample of its pages. */
  resident(file: number, at: number, length: number): boolean;
  dup(fd: number): number;
  /** Ends both directions, so that a call under way on the descriptor returns. */
  shutdown(fd: number): void;
}

const SHUT_RDWR = 2;
const RWF_NOWAIT = 8;
/** Kernels read ahead 128 KiB at least: pages this near are mostly there together. */
const SAMPLE_BYTES = 128 << 10;
/** Calls that may be in the thread pool at one time keep their memory, or each would map and unmap it anew (measured). */
const RESIDENT_CALLS = 16;

/**
 * `undefined` where they cannot be had (another platform, no prebuilt library): streams do instead.
 * @see sendfile(2), preadv2(2), dup(2), shutdown(2)
 */
export function loadNative(): Native | undefined {
  if (process.platform !== 'linux') return undefined;
  try {
    koffi.config({...koffi.config(), resident_async_pools: RESIDENT_CALLS});
    const libc = koffi.load(null);
    const sendfile = libc.func('intptr_t sendfile(int out, int file, int64_t *offset, size_t length)');
    const preadv2 = libc.func('intptr_t preadv2(int fd, void *parts, int count, int64_t at, int flags)');
    const dup = libc.func('int dup(int fd)');
    const shutdown = libc.func('int shutdown(int fd, int how)');
    const offset = new BigInt64Array(1);
    const probe = newProbe();
    return {
      sendfile: (out, file, at, length) =>
        new Promise((resolve, reject) => {
          sendfile.async(out, file, [at], length, (error: Error | null, sent: number) => {
            if (error) reject(error);
            else resolve(sent);
          });
        }),
      sendfileNow: (out, file, at, length) => {
        offset[0] = BigInt(at);
        return sendfile(out, file, offset, length) as number;
      },
      resident: (file, at, length) => {
        const last = at + length - 1;
        for (let sample = at; sample < last; sample += SAMPLE_BYTES)
          if ((preadv2(file, probe, 1, sample, RWF_NOWAIT) as number) < 1) return false;
        return (preadv2(file, probe, 1, last, RWF_NOWAIT) as number) === 1;
      },
      dup: (fd) => dup(fd) as number,
      shutdown: (fd) => {
        shutdown(fd, SHUT_RDWR);
      },
    };
  } catch {
    return undefined;
  }
}

/** A vector of one part of one byte. Both live as long as the process. */
function newProbe(): unknown {
  const iovec = koffi.struct({base: 'void *', len: 'size_t'});
  const probe = koffi.alloc(iovec, 1) as unknown;
  koffi.encode(probe, iovec, {base: koffi.alloc('uint8_t', 1) as unknown, len: 1});
  return probe;
}
