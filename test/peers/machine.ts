import {readdir, readlink, writeFile} from 'node:fs/promises';
import {isIP} from 'node:net';
import {join} from 'node:path';
import {poll} from '../poll.ts';
import {Child} from './child.ts';
import {run} from './run.ts';

/**
 * Nothing but a loopback of its own, so that nothing in it can reach anything else; its own /run, where containerd and
 * runc leave sockets; and two files of /etc, seen by its processes alone.
 */
const SETUP = `set -eu
ip link set lo up
mount -t tmpfs tmpfs /run
mount --bind "$1/hosts" /etc/hosts
mount --bind "$1/trust.crt" /etc/ssl/certs/ca-certificates.crt
echo ready
exec sleep infinity`;

export interface MachineOptions {
  readonly folder: string;
  /** Name → address, in 127.0.0.0/8. */
  readonly hosts: Readonly<Record<string, string>>;
  /** The certificate authority that its programs trust, PEM text: the only one. */
  readonly trust: string;
}

/** A machine within the machine, as far as names, trust and network go: a mount and a network namespace. Needs root. */
export class Machine implements AsyncDisposable {
  readonly #keeper: Child;
  private constructor(keeper: Child) {
    this.#keeper = keeper;
  }

  static async start({folder, hosts, trust}: MachineOptions): Promise<Machine> {
    for (const address of Object.values(hosts))
      if (isIP(address) !== 4) throw new TypeError(`Not an address: ${address}`);
    const lines = [['127.0.0.1', 'localhost'], ...Object.entries(hosts).map(([name, address]) => [address, name])];
    await writeFile(join(folder, 'hosts'), lines.map((line) => `${line.join(' ')}\n`).join(''));
    await writeFile(join(folder, 'trust.crt'), trust);
    const keeper = new Child('unshare', [
      '--mount',
      '--net',
      '--propagation',
      'private',
      'sh',
      '-c',
      SETUP,
      'sh',
      folder,
    ]);
    await keeper.untilReady(() => keeper.lines.includes('ready'));
    return new Machine(keeper);
  }

  /** Put before a command to run it inside. The process keeps its id: nsenter becomes it. */
  get inside(): readonly string[] {
    return ['nsenter', '--target', `${this.#keeper.pid}`, '--mount', '--net', '--'];
  }

  /** Runs a program inside to its end. */
  async run(command: string, args: readonly string[], env: NodeJS.ProcessEnv): Promise<Buffer> {
    return run('nsenter', [...this.inside.slice(1), command, ...args], {env});
  }

  /** Ends every process inside: shims are nobody's children. */
  async [Symbol.asyncDispose](): Promise<void> {
    const net = await namespaceOf(this.#keeper.pid);
    await poll('the machine is empty', async () => {
      const pids = (await membersOf(net)).filter((pid) => pid !== this.#keeper.pid);
      for (const pid of pids) tryToKill(pid);
      return pids.length === 0;
    });
    await this.#keeper.stop('SIGKILL');
  }
}

/** As `net:[4026532000]`; `undefined` if the process is gone. */
async function namespaceOf(pid: number | string): Promise<string | undefined> {
  return readlink(`/proc/${pid}/ns/net`).catch(() => undefined);
}

async function membersOf(namespace: string | undefined): Promise<number[]> {
  if (namespace === undefined) return [];
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name));
  const namespaces = await Promise.all(pids.map(namespaceOf));
  return pids.filter((_, at) => namespaces[at] === namespace).map(Number);
}

function tryToKill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It ended by itself meanwhile.
  }
}
