import {mkdir, readdir, rmdir, writeFile} from 'node:fs/promises';
import {join} from 'node:path';
import {poll} from '../poll.ts';
import {Child} from './child.ts';
import {environment} from './environment.ts';
import type {Machine} from './machine.ts';

/** What is not needed for pulling and running, and would write outside the test's folder or complain. */
const DISABLED = ['grpc.v1.cri', 'internal.v1.opt', 'internal.v1.tracing', 'tracing.processor.v1.otlp'];

export interface ContainerdOptions {
  /** The folder that `containerd` and `ctr` are in. @default wherever PATH finds Debian's */
  readonly programs?: string;
  /** More of its configuration, TOML. FOLDER in it is that of its files. */
  readonly more?: string;
  /** Of its configuration's grammar. @default 2 */
  readonly version?: 2 | 3;
  /** Whether it serves the kubelet's questions, too. @default false */
  readonly cri?: boolean;
}

/** A real containerd with nothing but a socket, on a machine of its own. */
export class Containerd implements AsyncDisposable {
  readonly #machine: Machine;
  readonly #folder: string;
  readonly #child: Child;
  readonly #cgroup: string;
  readonly #ctr: string;
  #runs = 0;

  private constructor(machine: Machine, folder: string, child: Child, ctr: string) {
    this.#machine = machine;
    this.#folder = folder;
    this.#child = child;
    this.#ctr = ctr;
    this.#cgroup = `noost-test-${child.pid}`;
  }

  static async start(machine: Machine, folder: string, options: ContainerdOptions = {}): Promise<Containerd> {
    await mkdir(join(folder, 'certs.d', '_default'), {recursive: true});
    await writeFile(join(folder, 'config.toml'), configuration(folder, options));
    const program = (name: string): string => join(options.programs ?? '', name);
    const command = [...machine.inside, program('containerd'), '--config', join(folder, 'config.toml')];
    const child = new Child(command[0] ?? '', command.slice(1), {env: environment(folder)});
    const containerd = new Containerd(machine, folder, child, program('ctr'));
    await child.untilReady(async () => (await containerd.ctr('version').catch(() => undefined)) !== undefined);
    return containerd;
  }

  /** Writes `_default/hosts.toml`, the only host configuration there is. */
  async useMirror(url: string, header: Readonly<Record<string, string>> = {}): Promise<void> {
    const headers = Object.entries(header).map(([name, value]) => `  ${name} = [${JSON.stringify(value)}]\n`);
    const table = headers.length === 0 ? '' : `  [host."${url}".header]\n  ${headers.join('  ')}`;
    const text = `[host."${url}"]\n  capabilities = ["pull", "resolve"]\n${table}`;
    await writeFile(join(this.#folder, 'certs.d', '_default', 'hosts.toml'), text);
  }

  /** Of its API, here: the socket is a file that all namespaces see. */
  get socket(): string {
    return socketOf(this.#folder);
  }

  async ctr(...args: readonly string[]): Promise<string> {
    const env = environment(this.#folder);
    const stdout = await this.#machine.run(this.#ctr, ['--address', socketOf(this.#folder), ...args], env);
    return stdout.toString();
  }

  /** @param flags of `ctr images pull`. */
  async pull(reference: string, ...flags: readonly string[]): Promise<void> {
    const hosts = ['--hosts-dir', join(this.#folder, 'certs.d')];
    // The plain snapshotter works wherever the tests' folder is, also on an overlay.
    await this.ctr('images', 'pull', '--snapshotter', 'native', ...hosts, ...flags, reference);
  }

  /** Runs the image's own command by runc. @returns what it printed. */
  async run(reference: string): Promise<string> {
    const id = `run-${++this.#runs}`;
    const where = ['--snapshotter', 'native', '--cgroup', `${this.#cgroup}/${id}`, '--net-host'];
    return this.ctr('run', '--rm', ...where, reference, id);
  }

  /** Removes images, and waits until no content and no snapshot is left of any. */
  async forget(...references: readonly string[]): Promise<void> {
    await this.ctr('images', 'rm', '--sync', ...references);
    await poll(
      'containerd has forgotten everything',
      async () => (await this.ctr('content', 'ls', '-q')).trim() === '',
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#child.stop();
    for (const controller of await readdir('/sys/fs/cgroup')) {
      // Empty since the containers ended; version 2 has one tree and no such folder below.
      await rmdir(join('/sys/fs/cgroup', controller, this.#cgroup)).catch(() => {});
    }
    await rmdir(join('/sys/fs/cgroup', this.#cgroup)).catch(() => {});
  }
}

function socketOf(folder: string): string {
  return join(folder, 'containerd.sock');
}

function configuration(folder: string, {version = 2, cri = false, more = ''}: ContainerdOptions): string {
  const disabled = DISABLED.filter((name) => !cri || !name.includes('.cri'));
  return `version = ${String(version)}
root = ${JSON.stringify(join(folder, 'root'))}
state = "/run/containerd"
disabled_plugins = ${JSON.stringify(disabled.map((name) => `io.containerd.${name}`))}
[grpc]
address = ${JSON.stringify(socketOf(folder))}
${more.replaceAll('FOLDER', folder)}`;
}
