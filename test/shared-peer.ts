import {after, type TestContext} from 'node:test';
import {needsKubernetes} from './peers/kubernetes.ts';

/**
 * What all tests of a file share on a Kubernetes of their own: begun by the first that may have one, ended after the last.
 * Where there can be none a test is skipped aloud, and gets `undefined`.
 */
export function sharedPeer<T extends AsyncDisposable>(
  start: () => Promise<T>,
): (t: TestContext) => Promise<T | undefined> {
  let shared: Promise<T> | undefined;
  after(async () => {
    await (await shared)?.[Symbol.asyncDispose]();
  });
  return async (t) => (needsKubernetes(t) ? await (shared ??= start()) : undefined);
}
