import {once} from 'node:events';
import {connect, type TLSSocket} from 'node:tls';

const END_OF_HEAD = '\r\n\r\n';

/**
 * One kept connection that asks one thing at a time. By hand, not by `node:https`: the client shares its processors with
 * the server that is measured, and must not take more of them than that.
 */
export class Line {
  readonly #socket: TLSSocket;
  #answered: ((wrong: string | undefined) => void) | undefined;
  #text = '';

  private constructor(socket: TLSSocket) {
    this.#socket = socket;
    socket.setEncoding('latin1').setNoDelay(true);
    socket.on('data', (part: string) => this.#read(part));
    socket.on('error', () => undefined); // `close` follows
    socket.on('close', () => this.#end('the connection was closed'));
  }

  /** @throws the socket's error. */
  static async open(port: number, ca: string): Promise<Line> {
    const socket = connect({host: '127.0.0.1', port, ca, ALPNProtocols: ['http/1.1']});
    await once(socket, 'secureConnect');
    return new Line(socket);
  }

  /** The whole request, as it goes out: bytes that are made once. */
  static requestOf(path: string, body: string): Buffer {
    const head = [
      `POST ${path}?timeout=10s HTTP/1.1`,
      'Host: 127.0.0.1',
      'User-Agent: kube-apiserver-admission',
      'Content-Type: application/json',
      `Content-Length: ${String(Buffer.byteLength(body))}`,
    ];
    return Buffer.from(head.join('\r\n') + END_OF_HEAD + body);
  }

  /** @returns what came that is no answer which admits; `undefined` if one did. */
  ask(request: Buffer): Promise<string | undefined> {
    return new Promise((resolve) => {
      if (this.#socket.destroyed) return resolve('the connection is closed');
      this.#answered = resolve;
      this.#socket.write(request);
    });
  }

  close(): void {
    this.#socket.destroy();
  }

  #read(part: string): void {
    this.#text += part;
    const head = this.#text.indexOf(END_OF_HEAD);
    if (head === -1) return;
    const length = /\r\ncontent-length: (\d+)\r\n/i.exec(this.#text.slice(0, head + 2))?.[1];
    if (length === undefined) return this.#end(this.#text);
    const body = this.#text.slice(head + END_OF_HEAD.length);
    if (body.length < Number(length)) return;
    const admits = this.#text.startsWith('HTTP/1.1 200 ') && body.includes('"allowed":true');
    this.#end(admits ? undefined : this.#text);
  }

  #end(wrong: string | undefined): void {
    const answered = this.#answered;
    this.#answered = undefined;
    this.#text = '';
    answered?.(wrong);
  }
}
