import {mkdir, writeFile} from 'node:fs/promises';
import {join} from 'node:path';
import {setTimeout as delay} from 'node:timers/promises';
import {Child} from './child.ts';
import {UPSTREAM_HOST} from './contestants/noost.ts';
import {runCommand} from './run-command.ts';

const READY_MS = 15_000;

/** A containerd of the bench's own, that only fetches content: nothing is unpacked or run. */
export class ContainerdFetcher implements AsyncDisposable {
  readonly #child: Child;
  readonly #socket: string;
  private constructor(child: Child, socket: string) {
    this.#child = child;
    this.#socket = socket;
  }

  /** @throws {Error} where it is not installed or does not start. */
  static async start(folder: string): Promise<ContainerdFetcher> {
    const [socket, file] = [join(folder, 'containerd.sock'), join(folder, 'config.toml')];
    // Isolated: what one namespace has fetched is not there for the next, or only the first round would fetch.
    await writeFile(
      file,
      `version = 2
root = ${JSON.stringify(join(folder, 'root'))}
state = ${JSON.stringify(join(folder, 'state'))}
disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.internal.v1.opt"]
[grpc]
address = ${JSON.stringify(socket)}
[plugins."io.containerd.metadata.v1.bolt"]
content_sharing_policy = "isolated"
`,
    );
    const fetcher = new ContainerdFetcher(
      new Child(['containerd', '--config', file], {log: join(folder, 'output')}),
      socket,
    );
    const end = performance.now() + READY_MS;
    while (
      !(await fetcher.#ctr('version').then(
        () => true,
        () => false,
      ))
    ) {
      if (performance.now() > end || !fetcher.#child.running) {
        await fetcher[Symbol.asyncDispose]();
        throw new Error(`containerd does not start: ${fetcher.#child.tail()}`);
      }
      await delay(100);
    }
    return fetcher;
  }

  /** Fetches into an empty content store, which is emptied again. containerd checks each digest. @returns milliseconds. */
  async fetch(
    name: string,
    hosts: {readonly folder: string; readonly url: string},
    namespace: string,
  ): Promise<number> {
    await mkdir(join(hosts.folder, UPSTREAM_HOST), {recursive: true});
    await writeFile(
      join(hosts.folder, UPSTREAM_HOST, 'hosts.toml'),
      `server = "http://127.0.0.1:9"\n[host.${JSON.stringify(hosts.url)}]\ncapabilities = ["pull", "resolve"]\n`,
    );
    await runCommand(['sync']); // what the one before has written is not this one's to wait for
    const reference = `${UPSTREAM_HOST}/${name}`;
    const begun = performance.now();
    await this.#ctr('-n', namespace, 'content', 'fetch', '--hosts-dir', hosts.folder, reference);
    const took = performance.now() - begun;
    await this.#ctr('-n', namespace, 'images', 'rm', '--sync', reference);
    return took;
  }

  async #ctr(...args: readonly string[]): Promise<string> {
    return runCommand(['ctr', '--address', this.#socket, ...args], {timeoutMs: 300_000});
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#child.stop();
  }
}
