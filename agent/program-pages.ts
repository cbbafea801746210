import {readFile} from 'node:fs/promises';
import koffi from 'koffi';

/** A part of the address space, in bytes. */
interface Part {
  readonly at: bigint;
  readonly bytes: bigint;
}

/** `55d0c0000000-55d0c2000000 r-xp 01000000 fe:00 123 /usr/bin/node`: each part begins with such a line. */
const HEADER = /^([0-9a-f]+)-([0-9a-f]+) (\S+ \S+ \S+ \d+ .*)$/;
const FILE_READ_ONLY = /^r-[x-]p \S+ \S+ [1-9]\d* +\//;
const UNCHANGED = /^Anonymous: +0 kB$/;
/** @see madvise(2) */
const MADV_DONTNEED = 4;

/**
 * Takes the pages of the program and its libraries out of this process's memory: starting ran through much of them, and the
 * kernel maps sixteen and more around each that is used. They stay in the page cache, as long as the kernel has room for
 * them, and those that are needed again come back from there, a microsecond for each fault.
 * @throws {Error} where the system does not tell or does not let us.
 */
export async function unmapProgram(): Promise<void> {
  if (process.platform !== 'linux') return;
  const madvise = koffi.load(null).func('int madvise(uint64_t at, uint64_t bytes, int advice)');
  for (const {at, bytes} of unchangedParts(await readFile('/proc/self/smaps', 'latin1')))
    madvise(at, bytes, MADV_DONTNEED); // a kernel that refuses has its reasons: only larger
}

/**
 * Parts that cannot be written and of which no page has been: what the loader relocated, a debugger put a stop into, or was
 * never in a file, would be lost.
 * @param smaps see proc_pid_smaps(5)
 */
export function unchangedParts(smaps: string): Part[] {
  const parts: Part[] = [];
  let part: Part | undefined;
  for (const line of smaps.split('\n')) {
    const [, from, to, rest] = HEADER.exec(line) ?? [];
    if (from !== undefined && to !== undefined) {
      const at = BigInt(`0x${from}`);
      part = FILE_READ_ONLY.test(rest ?? '') ? {at, bytes: BigInt(`0x${to}`) - at} : undefined;
    } else if (part !== undefined && UNCHANGED.test(line)) parts.push(part);
  }
  return parts;
}
