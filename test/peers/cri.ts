import {connect, constants, type ClientHttp2Session, type IncomingHttpHeaders} from 'node:http2';
import {connect as connectTo} from 'node:net';

const FRAME = 5;
const TIMEOUT_MS = 120_000;

/** What the kubelet asks of a container runtime, over its socket: gRPC by hand, for it takes one message here. */
export class Cri implements Disposable {
  readonly #session: ClientHttp2Session;
  constructor(socket: string) {
    this.#session = connect('http://localhost', {createConnection: () => connectTo(socket)});
    this.#session.on('error', () => undefined); // told by the call
  }

  /** Pulls an image without credentials of its own. @throws {Error} with what the runtime says. */
  async pull(image: string): Promise<void> {
    await this.#call('/runtime.v1.ImageService/PullImage', message(1, message(1, Buffer.from(image))));
  }

  /** Removes an image, so that it is pulled anew. */
  async remove(image: string): Promise<void> {
    await this.#call('/runtime.v1.ImageService/RemoveImage', message(1, message(1, Buffer.from(image))));
  }

  #call(path: string, body: Buffer): Promise<void> {
    return new Promise((resolve, reject) => {
      const stream = this.#session.request({
        [constants.HTTP2_HEADER_METHOD]: 'POST',
        [constants.HTTP2_HEADER_PATH]: path,
        'content-type': 'application/grpc',
        te: 'trailers',
      });
      const answer = (headers: IncomingHttpHeaders): void => {
        const status = headers['grpc-status'];
        if (status === undefined) return;
        if (status === '0') resolve();
        else
          reject(
            new Error(
              `${path}: ${[status].flat().join()} ${decodeURIComponent([headers['grpc-message'] ?? ''].flat().join())}`,
            ),
          );
      };
      stream.setTimeout(TIMEOUT_MS, () => stream.destroy(new Error(`${path}: no answer`)));
      stream.on('response', answer).on('trailers', answer).on('error', reject).resume();
      stream.on('close', () => reject(new Error(`${path}: closed without a status`)));
      const head = Buffer.alloc(FRAME);
      head.writeUInt32BE(body.length, 1);
      stream.end(Buffer.concat([head, body]));
    });
  }

  [Symbol.dispose](): void {
    this.#session.destroy();
  }
}

/** A field of bytes, shorter than 128 of them. */
function message(field: number, bytes: Buffer): Buffer {
  if (bytes.length > 127) throw new RangeError('Too long for one byte of length');
  return Buffer.concat([Buffer.of((field << 3) | 2, bytes.length), bytes]);
}
