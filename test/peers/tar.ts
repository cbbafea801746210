import {seededBytes} from './seeded.ts';

/** What a layer holds. Everything that could differ between two runs (owner, times) is fixed. */
export type TarEntry =
  | {readonly path: string; readonly kind: 'folder'}
  | {readonly path: string; readonly kind: 'link'; readonly target: string}
  | {readonly path: string; readonly kind: 'file'; readonly body: Uint8Array; readonly mode?: number}
  | {readonly path: string; readonly kind: 'seeded'; readonly sizeBytes: number};

const BLOCK_BYTES = 512;
const TYPE = {file: '0', seeded: '0', link: '2', folder: '5'} as const;

/**
 * A tar archive of `entries`, in chunks.
 * @see https://pubs.opengroup.org/onlinepubs/9699919799/utilities/pax.html ustar Interchange Format
 */
export function* tar(entries: readonly TarEntry[]): Generator<Uint8Array> {
  for (const entry of entries) {
    yield header(entry);
    if (entry.kind === 'file') yield entry.body;
    if (entry.kind === 'seeded') yield* seededBytes(entry.path, entry.sizeBytes);
    yield Buffer.alloc(-sizeOf(entry) & (BLOCK_BYTES - 1));
  }
  yield Buffer.alloc(2 * BLOCK_BYTES);
}

function sizeOf(entry: TarEntry): number {
  if (entry.kind === 'file') return entry.body.length;
  return entry.kind === 'seeded' ? entry.sizeBytes : 0;
}

function header(entry: TarEntry): Buffer {
  const block = Buffer.alloc(BLOCK_BYTES);
  const octal = (value: number, at: number, digits: number): void => {
    block.write(value.toString(8).padStart(digits, '0'), at, 'latin1');
  };
  block.write(entry.path, 0, 100, 'latin1');
  octal(modeOf(entry), 100, 7);
  octal(0, 108, 7); // owner and group: root
  octal(0, 116, 7);
  octal(sizeOf(entry), 124, 11);
  octal(0, 136, 11); // 1970
  block.write(' '.repeat(8) + TYPE[entry.kind], 148, 'latin1'); // the checksum counts its own field as spaces
  if (entry.kind === 'link') block.write(entry.target, 157, 100, 'latin1');
  block.write('ustar\x0000', 257, 'latin1');
  const sum = block.reduce((total, byte) => total + byte, 0);
  block.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  return block;
}

function modeOf(entry: TarEntry): number {
  if (entry.kind === 'file') return entry.mode ?? 0o644;
  return entry.kind === 'folder' ? 0o755 : 0o644;
}
