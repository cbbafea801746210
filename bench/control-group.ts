import {access, mkdir, readFile, rmdir, writeFile} from 'node:fs/promises';
import {join} from 'node:path';
import {setTimeout as delay} from 'node:timers/promises';

/** A memory control group of the bench's own, of version 1 or 2, whichever the machine has. Needs root. */
export class ControlGroup implements AsyncDisposable {
  readonly #folder: string;
  private constructor(folder: string) {
    this.#folder = folder;
  }

  /** @throws {Error} where there is no memory controller that we may use. */
  static async make(name: string, limitBytes: number): Promise<ControlGroup> {
    const lines = (await readFile('/proc/self/cgroup', 'utf8'))
      .trim()
      .split('\n')
      .map((line) => line.split(':'));
    const first = lines.find(([, controllers = '']) => controllers.split(',').includes('memory'));
    if (first !== undefined) {
      const parent = join('/sys/fs/cgroup/memory', first[2] ?? '');
      const root = await access(parent).then(
        () => parent,
        () => '/sys/fs/cgroup/memory',
      );
      return ControlGroup.#at(join(root, name), 'memory.limit_in_bytes', limitBytes);
    }
    const unified = lines.find(([number]) => number === '0');
    if (unified === undefined) throw new Error('no control group with a memory controller');
    // Version 2 lets no process stay where a controller is handed on: the new group stands beside our own.
    const parent = join('/sys/fs/cgroup', unified[2] ?? '', '..');
    await writeFile(join(parent, 'cgroup.subtree_control'), '+memory');
    return ControlGroup.#at(join(parent, name), 'memory.max', limitBytes);
  }

  static async #at(folder: string, file: string, limitBytes: number): Promise<ControlGroup> {
    await mkdir(folder); // not recursive: where nothing is mounted (`ip netns exec`) Node would try for ever
    await writeFile(join(folder, file), String(limitBytes));
    return new ControlGroup(folder);
  }

  /** Command to put before another, which then runs in the group. */
  get inside(): readonly string[] {
    return ['sh', '-c', `echo $$ > '${join(this.#folder, 'cgroup.procs')}' && exec "$@"`, 'sh'];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (let tries = 0; tries < 50; tries++) {
      const gone = await rmdir(this.#folder).then(
        () => true,
        () => false,
      );
      if (gone) return;
      await delay(100); // its processes have ended but are still counted
    }
  }
}
