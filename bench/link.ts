import {runCommand} from './run-command.ts';

/** Of the token bucket that is the 1 Gbit/s link: 2 ms of it. */
const BURST = '256kb';
const QUEUE = '50ms';
const UPSTREAM_ADDRESS = '10.201.77.1';
const NODE_ADDRESS = '10.201.77.2';

/** Two network namespaces with a limited link between them: the upstream in one, the node in the other. Needs root. */
export class Link implements AsyncDisposable {
  readonly upstreamAddress = UPSTREAM_ADDRESS;
  readonly #upstream: string;
  readonly #node: string;
  private constructor(upstream: string, node: string) {
    this.#upstream = upstream;
    this.#node = node;
  }

  /** @param rate as `tc` reads it: `1gbit`. @throws {Error} without `ip`, `tc` or the right to use them. */
  static async make(rate: string): Promise<Link> {
    const [upstream, node] = [`noost-bench-u${process.pid}`, `noost-bench-n${process.pid}`];
    const link = new Link(upstream, node);
    try {
      for (const name of [upstream, node]) {
        await runCommand(['ip', 'netns', 'add', name]);
        await runCommand(['ip', '-n', name, 'link', 'set', 'lo', 'up']);
      }
      await runCommand([
        'ip',
        'link',
        'add',
        'bench0',
        'netns',
        upstream,
        'type',
        'veth',
        'peer',
        'name',
        'bench0',
        'netns',
        node,
      ]);
      for (const [name, address] of [
        [upstream, UPSTREAM_ADDRESS],
        [node, NODE_ADDRESS],
      ] as const) {
        await runCommand(['ip', '-n', name, 'addr', 'add', `${address}/24`, 'dev', 'bench0']);
        await runCommand(['ip', '-n', name, 'link', 'set', 'bench0', 'up']);
        await runCommand([
          ...inNamespace(name),
          'tc',
          'qdisc',
          'add',
          'dev',
          'bench0',
          'root',
          'tbf',
          'rate',
          rate,
          'burst',
          BURST,
          'latency',
          QUEUE,
        ]);
      }
      return link;
    } catch (error) {
      await link[Symbol.asyncDispose]();
      throw error;
    }
  }

  get insideUpstream(): readonly string[] {
    return inNamespace(this.#upstream);
  }
  get insideNode(): readonly string[] {
    return inNamespace(this.#node);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const name of [this.#upstream, this.#node])
      await runCommand(['ip', 'netns', 'del', name]).catch(() => undefined);
  }
}

function inNamespace(name: string): readonly string[] {
  return ['ip', 'netns', 'exec', name];
}
