import {accessSync, constants} from 'node:fs';
import {delimiter, join} from 'node:path';
import type {TestContext} from 'node:test';

/** What a test can need that is not a program: `root` is uid 0 with the right to make namespaces. */
export type Condition = 'root';

/**
 * Says whether a test can run here. What is absent fails it under CI=true, where everything has to be there, and skips it
 * aloud elsewhere: `if (!needs(t, 'root', 'containerd')) return;`
 * @param wanted conditions and names of programs, looked up in PATH and the two sbin folders.
 */
export function needs(t: TestContext, ...wanted: readonly (Condition | (string & {}))[]): boolean {
  const missing = wanted.filter((one) => (one === 'root' ? process.getuid?.() !== 0 : whereIs(one) === undefined));
  if (missing.length === 0) return true;
  const message = `needs ${missing.join(', ')}; test/debian.sh installs what Debian has`;
  if (process.env['CI'] === 'true') throw new Error(message);
  t.skip(message);
  return false;
}

function whereIs(program: string): string | undefined {
  const folders = [...(process.env['PATH'] ?? '').split(delimiter), '/usr/sbin', '/sbin'];
  return folders.map((folder) => join(folder, program)).find(isExecutable);
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
