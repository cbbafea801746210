import {close} from 'node:fs';

/**
 * A file descriptor with several users, closed when the last has gone. While one holds it the number cannot be
 * given to another file: that is what makes it safe to hand it to another thread.
 */
export class SharedFd {
  readonly fd: number;
  #users = 1;
  /** The caller is the first user and calls `release` once. */
  constructor(fd: number) {
    this.fd = fd;
  }
  /** @returns what gives it up again; further calls do nothing. */
  retain(): () => void {
    if (this.#users === 0) throw new Error('Descriptor is closed');
    this.#users++;
    let held = true;
    return () => {
      if (!held) return;
      held = false;
      this.release();
    };
  }
  release(): void {
    this.#users--;
    // Off the event loop: the last close of an unlinked file frees its blocks, which takes a while for a large one.
    if (this.#users === 0) close(this.fd, () => {});
  }
}
