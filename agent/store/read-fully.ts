import {read} from 'node:fs';
import {promisify} from 'node:util';

const readAt = promisify(read);

/** The first `sizeBytes` of a file. @throws {Error} of `node:fs`, or if the file is shorter. */
export async function readFully(fd: number, sizeBytes: number): Promise<Buffer> {
  const buffer = Buffer.allocUnsafeSlow(sizeBytes);
  for (let at = 0; at < sizeBytes;) {
    const {bytesRead} = await readAt(fd, buffer, at, sizeBytes - at, at);
    if (bytesRead === 0) throw new Error(`File ends at ${at} of ${sizeBytes}`);
    at += bytesRead;
  }
  return buffer;
}
