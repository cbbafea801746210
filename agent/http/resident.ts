import type {KoffiFunc, LibraryHandle} from 'koffi';
import koffi from 'koffi';

/** Whether a part of a file is in the page cache, all of it. Offset and length in bytes. */
export type Resident = (file: number, at: number, length: number) => boolean;

const RWF_NOWAIT = 8;
/** Its number is the same on every processor. */
const SYS_CACHESTAT = 451;
const SC_PAGESIZE = 30;
/** Kernels read ahead 128 KiB at least: pages this near are mostly there together. */
const SAMPLE_BYTES = 128 << 10;

type Call = KoffiFunc<(...args: unknown[]) => number>;

/**
 * Counted by cachestat(2) since Linux 6.5. Older kernels do not have it, and some seccomp profiles forbid it: then
 * a page of each so many is tried, which for large parts costs about a tenth of sending them (docs/performance.md).
 * @param counted `false`: as where there is no cachestat(2).
 * @see preadv2(2) for RWF_NOWAIT
 */
export function newResident(libc: LibraryHandle, {counted = true} = {}): Resident {
  const preadv2 = libc.func('intptr_t preadv2(int fd, void *parts, int count, int64_t at, int flags)') as Call;
  const probe = newProbe();
  const isThere = (file: number, at: number): boolean => preadv2(file, probe, 1, at, RWF_NOWAIT) === 1;
  const count = newCount(libc);
  return (file, at, length) => {
    const last = at + length - 1;
    // Pages that are on their way from the disk are counted, too; the last one arrives last.
    if (!isThere(file, last)) return false;
    const isWhole = counted ? count(file, at, length) : undefined;
    if (isWhole !== undefined) return isWhole;
    for (let sample = at; sample < last; sample += SAMPLE_BYTES) if (!isThere(file, sample)) return false;
    return true;
  };
}

/** Whether all pages of a part are in the page cache; `undefined` where it cannot be asked. */
function newCount(libc: LibraryHandle): (file: number, at: number, length: number) => boolean | undefined {
  const cachestat = libc.func(
    'intptr_t syscall(long number, int fd, void *range, void *counts, uint32_t flags)',
  ) as Call;
  const pageBytes = (libc.func('long sysconf(int name)') as Call)(SC_PAGESIZE);
  const range = new BigUint64Array(2); // offset, length
  const counts = new BigUint64Array(5); // in the page cache, dirty, being written, evicted, recently evicted
  return (file, at, length) => {
    range[0] = BigInt(at);
    range[1] = BigInt(length);
    if (cachestat(SYS_CACHESTAT, file, range, counts, 0) !== 0) return undefined;
    const pages = Math.floor((at + length - 1) / pageBytes) - Math.floor(at / pageBytes) + 1;
    return Number(counts[0]) >= pages;
  };
}

/** A vector of one part of one byte. Both live as long as the process. */
function newProbe(): unknown {
  const iovec = koffi.struct({base: 'void *', len: 'size_t'});
  const probe = koffi.alloc(iovec, 1) as unknown;
  koffi.encode(probe, iovec, {base: koffi.alloc('uint8_t', 1) as unknown, len: 1});
  return probe;
}
