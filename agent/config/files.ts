import {checkUpstreamFiles} from '../../oci/upstream-files.ts';
import type {ConfigIssue} from '../../proc/config/error.ts';
import type {Layer} from '../../proc/config/layer.ts';
import {checkFile, checkKeyPair, pathsIn, type Check} from '../../proc/config/named-file.ts';
import {parseHtpasswd} from '../access/htpasswd.ts';
import {MAX_SECRET, MIN_SECRET, parseSecret} from '../node/node-secret.ts';

/** Looks at every file the configuration names: that it can be read now, and that it is what it should be. */
export async function checkFiles(config: Layer): Promise<readonly ConfigIssue[]> {
  const secrets = pathsIn(config, 'listeners', ['secretFile']).map((path) => checkFile(config, path, checkSecret));
  const users = pathsIn(config, 'listeners', ['users', 'htpasswdFile']).map((path) =>
    checkFile(config, path, checkUsers),
  );
  const pairs = pathsIn(config, 'listeners', ['tls', 'certFile']).map((path) => checkKeyPair(config, path));
  return (await Promise.all([...secrets, ...users, ...pairs, checkUpstreamFiles(config)])).flat();
}

const checkSecret: Check = (content) => {
  try {
    parseSecret(content);
    return undefined;
  } catch {
    return `expected a secret of ${String(MIN_SECRET)} to ${String(MAX_SECRET)} printable characters without spaces in the file`;
  }
};

const checkUsers: Check = (content) => {
  try {
    parseHtpasswd(content);
    return undefined;
  } catch (error) {
    return `expected a file of users: ${(error as Error).message}`;
  }
};
