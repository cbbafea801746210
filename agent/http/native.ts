import koffi from 'koffi';

/** The system calls that Node does not offer. Offsets and lengths in bytes; a negative result is a failure. */
export interface Native {
  /** Off the event loop; never waits for the socket, which libuv made non-blocking. */
  sendfile(out: number, file: number, at: number, length: number): Promise<number>;
  dup(fd: number): number;
  /** Ends both directions, so that a call under way on the descriptor returns. */
  shutdown(fd: number): void;
}

const SHUT_RDWR = 2;

/**
 * `undefined` where they cannot be had (another platform, no prebuilt library): streams do instead.
 * @see sendfile(2), dup(2), shutdown(2)
 */
export function loadNative(): Native | undefined {
  if (process.platform !== 'linux') return undefined;
  try {
    const libc = koffi.load(null);
    const sendfile = libc.func('intptr_t sendfile(int out, int file, int64_t *offset, size_t length)');
    const dup = libc.func('int dup(int fd)');
    const shutdown = libc.func('int shutdown(int fd, int how)');
    return {
      sendfile: (out, file, at, length) =>
        new Promise((resolve, reject) => {
          sendfile.async(out, file, [at], length, (error: Error | null, sent: number) => {
            if (error) reject(error);
            else resolve(sent);
          });
        }),
      dup: (fd) => dup(fd) as number,
      shutdown: (fd) => {
        shutdown(fd, SHUT_RDWR);
      },
    };
  } catch {
    return undefined;
  }
}
