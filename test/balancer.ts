import {once} from 'node:events';
import {connect, createServer, type AddressInfo, type Socket} from 'node:net';

/** Connections to one port, passed on to several in turn, as a Service does: who refuses is passed over. */
export class Balancer implements AsyncDisposable {
  readonly #server = createServer((client) => void this.#pass(client));
  readonly #open = new Set<Socket>();
  readonly #ports: number[] = [];
  #turn = 0;

  static async start(): Promise<Balancer> {
    const balancer = new Balancer();
    balancer.#server.listen(0, '127.0.0.1');
    await once(balancer.#server, 'listening');
    return balancer;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port; // never a pipe
  }

  add(port: number): void {
    this.#ports.push(port);
  }

  /** New connections go elsewhere; those that are open stay. */
  remove(port: number): void {
    this.#ports.splice(this.#ports.indexOf(port), 1);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#open) socket.destroy();
    this.#server.close();
    await once(this.#server, 'close');
  }

  async #pass(client: Socket): Promise<void> {
    this.#keep(client);
    const turn = this.#turn++;
    for (let i = 0; i < this.#ports.length; i++) {
      const target = await this.#dial(this.#ports[(turn + i) % this.#ports.length] ?? 0);
      if (target === undefined) continue;
      client.pipe(target).pipe(client);
      client.on('close', () => target.destroy());
      target.on('close', () => client.destroy());
      return;
    }
    client.destroy();
  }

  async #dial(port: number): Promise<Socket | undefined> {
    const socket = connect({host: '127.0.0.1', port});
    this.#keep(socket);
    return once(socket, 'connect').then(
      () => socket,
      () => undefined,
    );
  }

  #keep(socket: Socket): void {
    this.#open.add(socket.on('error', () => undefined).on('close', () => this.#open.delete(socket)));
  }
}
