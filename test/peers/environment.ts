/**
 * What the programs in tests see of the caller's environment: no proxy, no credentials and no configuration of whoever
 * runs the tests.
 * @param home where programs that insist on writing to HOME may do so.
 */
export function environment(home: string, more: NodeJS.ProcessEnv = {}): NodeJS.ProcessEnv {
  const path = `${process.env['PATH'] ?? ''}:/usr/local/sbin:/usr/sbin:/sbin:/usr/bin:/bin`;
  return {PATH: path, LANG: 'C.UTF-8', TZ: 'UTC', HOME: home, TMPDIR: home, ...more};
}
