import assert from 'node:assert/strict';
import {readFileSync} from 'node:fs';
import {test} from 'node:test';
import {unchangedParts, unmapProgram} from './program-pages.ts';

/** One part as proc_pid_smaps(5) describes it. */
function part(header: string, anonymous: number): string {
  return `${header}\nSize: 8 kB\nRss: 8 kB\nAnonymous:${String(anonymous).padStart(14)} kB\nVmFlags: rd ex mr\n`;
}

const FILE = 'fe:00 123                      /usr/bin/node';
const ROWS: readonly (readonly [what: string, smaps: string, taken: boolean])[] = [
  ['code of a file', part(`400000-402000 r-xp 00000000 ${FILE}`, 0), true],
  ['constants of a file', part(`400000-402000 r--p 00000000 ${FILE}`, 0), true],
  ['constants that the loader has relocated', part(`400000-402000 r--p 00000000 ${FILE}`, 4), false],
  ['code with a stop of a debugger in it', part(`400000-402000 r-xp 00000000 ${FILE}`, 8), false],
  ['variables', part(`400000-402000 rw-p 00000000 ${FILE}`, 0), false],
  ['a file that is shared', part(`400000-402000 r--s 00000000 ${FILE}`, 0), false],
  ['memory of no file', part('400000-402000 r-xp 00000000 00:00 0', 0), false],
  ['what the kernel gives', part('400000-402000 r-xp 00000000 00:00 0                 [vdso]', 0), false],
  ['what was no file at all', part('400000-402000 r-xp 00000000 00:05 7  anon_inode:[io_uring]', 0), false],
];

for (const [what, smaps, taken] of ROWS)
  test(`${what}: ${taken ? 'may leave memory' : 'stays in memory'}`, () => {
    const stack = part('7ff0000-7ff2000 rw-p 00000000 00:00 0   [stack]', 8);
    assert.deepEqual(unchangedParts(stack + smaps + stack), taken ? [{at: 0x400000n, bytes: 0x2000n}] : []);
  });

test('a program that has left memory goes on, with less of it', async () => {
  const before = fileKilobytes();
  await unmapProgram();
  const after = fileKilobytes();
  assert.ok(after < before / 2, `${before} → ${after} kB`);
  assert.equal(JSON.stringify({goes: ['on']}), '{"goes":["on"]}');
});

/** Of files mapped into this process, in kB. */
function fileKilobytes(): number {
  return Number(/^RssFile:\s+(\d+) kB$/m.exec(readFileSync('/proc/self/status', 'latin1'))?.[1]);
}
