import koffi, {type KoffiFunc, type LibraryHandle, type node} from 'koffi';

/** @see epoll_ctl(2) */
const [ADD, DELETE, MODIFY] = [1, 2, 3];
/** `EPOLLOUT` and `EPOLLONESHOT`: told once for each wait. Errors and hangups are told unasked. */
const EVENTS = 0x4 | (1 << 30);
/** Told of at one time; more are told of in the next turn of the loop. */
const MOST = 64;
/** `struct epoll_event` is packed on x86-64 alone: 32 bits of events, then 64 of data. @see epoll_event(3type) */
const [EVENT_WORDS, DATA_WORD] = process.arch === 'x64' ? [3, 1] : [4, 2];

type Call = KoffiFunc<(...args: unknown[]) => number>;

/**
 * Tells when sockets have room again. libuv would tell only who has an ordinary write to do, which takes more time
 * than all else of a call of sendfile(2) (docs/performance.md). Its loop watches an epoll(7) instance of ours instead,
 * and that watches the sockets.
 */
export class Readiness {
  /** By the number of the socket: whom to tell. */
  readonly #told = new Map<number, () => void>();
  readonly #control: Call;
  readonly #wait: Call;
  readonly #epoll: number;
  readonly #event = new Uint32Array(EVENT_WORDS);
  readonly #events = new Uint32Array(EVENT_WORDS * MOST);
  /** Kept: its end would be the watching's. */
  readonly #poll: node.PollHandle;

  /** @throws where the loop cannot watch. */
  constructor(libc: LibraryHandle) {
    this.#control = libc.func('int epoll_ctl(int epoll, int what, int fd, void *event)') as Call;
    this.#wait = libc.func('int epoll_wait(int epoll, void *events, int most, int timeout)') as Call;
    this.#epoll = (libc.func('int epoll_create1(int flags)') as Call)(0o2000000); // EPOLL_CLOEXEC
    if (this.#epoll < 0) throw new Error('No epoll instance is left');
    // Not at once: promises that are resolved in a callback of koffi's would wait for another one of Node's.
    const take = (): void => {
      this.#take();
    };
    this.#poll = koffi.node.poll(this.#epoll, () => {
      setImmediate(take);
    });
    this.#poll.unref();
    this.#event[0] = EVENTS;
  }

  /**
   * Tells when the socket takes more, or an error waits in it: once, and the last who asked.
   * @param fd ours alone, and given to `forget` before it is closed.
   * @returns whether it will: the system watches only so many.
   */
  watch(fd: number, told: () => void): boolean {
    this.#event[DATA_WORD] = fd;
    if (this.#control(this.#epoll, this.#told.has(fd) ? MODIFY : ADD, fd, this.#event) !== 0) return false;
    this.#told.set(fd, told);
    return true;
  }

  forget(fd: number): void {
    if (this.#told.delete(fd)) this.#control(this.#epoll, DELETE, fd, this.#event);
  }

  #take(): void {
    const count = this.#wait(this.#epoll, this.#events, MOST, 0);
    for (let at = 0; at < count; at++) this.#told.get(this.#events[at * EVENT_WORDS + DATA_WORD] ?? -1)?.();
  }
}
