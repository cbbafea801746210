import koffi from 'koffi';
import {Readiness} from './readiness.ts';
import {newResident, type Resident} from './resident.ts';

/** The system calls that Node does not offer. Offsets and lengths in bytes; a negative result is a failure. */
export interface Native {
  /** In a thread of the pool: for what may have to come from the disk. Never waits for the socket (non-blocking, by libuv). */
  sendfile(out: number, file: number, at: number, length: number): Promise<number>;
  /** At once, on this thread: only for what is `resident`. */
  sendfileNow(out: number, file: number, at: number, length: number): number;
  readonly resident: Resident;
  dup(fd: number): number;
  readonly readiness: Pick<Readiness, 'watch' | 'forget'>;
  /**
   * For the connections that a socket will accept, all within the machine: no network, no congestion. Where the system's
   * control is BBR, it would pace them by timers, and go on with it when another control takes over a connection that
   * is open (docs/performance.md). Reno is in every kernel, open to everybody, and only counts losses.
   */
  ignoreCongestion(listener: number): void;
  /** Ends both directions, so that a call under way on the descriptor returns. */
  shutdown(fd: number): void;
}

const SHUT_RDWR = 2;
/** `IPPROTO_TCP` and `TCP_CONGESTION`. @see tcp(7) */
const [TCP, CONGESTION] = [6, 13];
const RENO = Buffer.from('reno');
/** Calls that may be in the thread pool at one time keep their memory, or each would map and unmap it anew (measured). */
const RESIDENT_CALLS = 16;

/**
 * `undefined` where they cannot be had (another platform, no prebuilt library): streams do instead.
 * @see sendfile(2), dup(2), setsockopt(2), shutdown(2)
 */
export function loadNative(): Native | undefined {
  if (process.platform !== 'linux') return undefined;
  try {
    koffi.config({...koffi.config(), resident_async_pools: RESIDENT_CALLS});
    const libc = koffi.load(null);
    const sendfile = libc.func('intptr_t sendfile(int out, int file, int64_t *offset, size_t length)');
    const dup = libc.func('int dup(int fd)');
    const shutdown = libc.func('int shutdown(int fd, int how)');
    const setsockopt = libc.func('int setsockopt(int fd, int level, int name, const void *value, uint32_t length)');
    const offset = new BigInt64Array(1);
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
      resident: newResident(libc),
      dup: (fd) => dup(fd) as number,
      readiness: new Readiness(libc),
      ignoreCongestion: (listener) => {
        setsockopt(listener, TCP, CONGESTION, RENO, RENO.length); // a kernel that refuses has its reasons: only slower
      },
      shutdown: (fd) => {
        shutdown(fd, SHUT_RDWR);
      },
    };
  } catch {
    return undefined;
  }
}
