import assert from 'node:assert/strict';
import {mkdtemp, open, rm, truncate, writeFile} from 'node:fs/promises';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {run} from './peers/run.ts';
import {poll} from './poll.ts';

const MIB = 1 << 20;

/** A small file system of its own. */
export class Disk implements AsyncDisposable {
  readonly folder: string;
  readonly #image: string | undefined;
  private constructor(folder: string, image?: string) {
    this.folder = folder;
    this.#image = image;
  }

  static async tmpfs(mib: number): Promise<Disk> {
    const folder = await mkdtemp(join(tmpdir(), 'noost-disk-'));
    await run('mount', ['-t', 'tmpfs', '-o', `size=${mib}m`, 'tmpfs', folder]);
    return new Disk(folder);
  }

  static async ext4(mib: number): Promise<Disk> {
    const folder = await mkdtemp(join(tmpdir(), 'noost-disk-'));
    const image = `${folder}.img`;
    await writeFile(image, '');
    await truncate(image, mib * MIB);
    await run('mkfs.ext4', ['-q', image]);
    await run('mount', ['-o', 'loop', image, folder]);
    return new Disk(folder, image);
  }

  async remount(mode: 'ro' | 'rw'): Promise<void> {
    await run('mount', ['-o', `remount,${mode}`, this.folder]);
  }

  /** Changes a byte of a file on the device itself: size, mtime and ctime stay. */
  async rot(path: string, content: Buffer): Promise<void> {
    await run('umount', [this.folder]);
    await this.#flip(path, content);
    await run('mount', ['-o', 'loop', String(this.#image), this.folder]);
  }

  /**
   * The same while it is mounted and used; what of the file was in memory is dropped.
   * @param stir causes traffic: the kernel gives up sent pages when the processor that sent them next has some.
   */
  async rotInUse(path: string, content: Buffer, stir: () => Promise<unknown>): Promise<void> {
    await run('sync', [join(this.folder, path)]);
    await this.#flip(path, content);
    await this.drop(path, stir);
  }

  /** Drops what of a file is in memory. */
  async drop(path: string, stir: () => Promise<unknown>): Promise<void> {
    const file = join(this.folder, path);
    await run('sync', [file]);
    await poll(`${path} has left memory`, async () => {
      await stir();
      // dd's way to say it: nothing is copied, `nocache` alone drops all of it.
      await run('dd', [`if=${file}`, 'iflag=nocache', 'count=0', 'status=none', 'of=/dev/null']);
      return String(await run('fincore', ['--noheadings', '--bytes', '--output', 'RES', file])).trim() === '0';
    });
  }

  async #flip(path: string, content: Buffer): Promise<void> {
    const image = String(this.#image);
    const {length} = content;
    const device = await open(image, 'r+');
    try {
      const disk = await device.readFile();
      const at = disk.indexOf(content.subarray(length - 4096));
      assert.ok(at > 0, `${path} is on the device`);
      await device.write(Buffer.from([(disk[at + 100] ?? 0) ^ 1]), 0, 1, at + 100);
    } finally {
      await device.close();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await run('umount', [this.folder]).catch(() => undefined);
    await rm(this.folder, {recursive: true, force: true});
    if (this.#image !== undefined) await rm(this.#image, {force: true});
  }
}
