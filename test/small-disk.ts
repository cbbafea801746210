import {execFileSync} from 'node:child_process';
import {mkdtempSync, rmdirSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';

/** A file system in memory that is soon full and can be made read-only. Needs root: ask `needs(t, 'root', 'mount')` first. */
export class SmallDisk implements Disposable {
  readonly path: string = mkdtempSync(join(tmpdir(), 'noost-disk-'));
  constructor(sizeMiB: number) {
    try {
      execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${sizeMiB}m`, 'tmpfs', this.path]);
    } catch (error) {
      rmdirSync(this.path);
      throw error;
    }
  }
  setReadOnly(readOnly: boolean): void {
    execFileSync('mount', ['-o', `remount,${readOnly ? 'ro' : 'rw'}`, this.path]);
  }
  [Symbol.dispose](): void {
    execFileSync('umount', ['-l', this.path]); // lazily: a descriptor may take a moment to close
    rmdirSync(this.path);
  }
}
