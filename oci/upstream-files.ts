import {constants} from 'node:fs';
import {access} from 'node:fs/promises';
import {isAbsolute} from 'node:path';
import {newIssue} from '../proc/config/check.ts';
import type {ConfigIssue} from '../proc/config/error.ts';
import {isRecord, valueAt, type Layer, type Step} from '../proc/config/layer.ts';
import {checkCertificates, checkFile, checkKeyPair, codeOf, pathsIn, type Check} from '../proc/config/named-file.ts';

/** Looks at every file that `upstreams` names. */
export async function checkUpstreamFiles(config: Layer): Promise<readonly ConfigIssue[]> {
  const files: readonly (readonly [key: readonly string[], check: Check])[] = [
    [['credentials', 'passwordFile'], checkPassword],
    [['credentials', 'dockerConfigFile'], checkDockerConfig],
    [['tls', 'caFile'], checkCertificates],
  ];
  const checks = [
    ...files.flatMap(([key, check]) => pathsIn(config, 'upstreams', key).map((path) => checkFile(config, path, check))),
    ...pathsIn(config, 'upstreams', ['tls', 'certFile']).map((path) => checkKeyPair(config, path)),
    ...pathsIn(config, 'upstreams', ['credentials', 'credentialHelper']).map((path) => checkHelper(config, path)),
  ];
  return (await Promise.all(checks)).flat();
}

const checkPassword: Check = (content) =>
  content.trim() === '' ? 'expected a password in the file; it is empty' : undefined;

const checkDockerConfig: Check = (content) => {
  try {
    if (isRecord(JSON.parse(content))) return undefined;
  } catch {
    // said below, without the parser's words: they quote the file
  }
  return 'expected a docker config.json (a JSON object) in the file';
};

/** One that is found by its name is looked for when it is needed: PATH may differ until then. */
async function checkHelper(config: Layer, path: readonly Step[]): Promise<ConfigIssue[]> {
  const helper = String(valueAt(config.tree, path));
  if (!isAbsolute(helper)) return [];
  try {
    await access(helper, constants.X_OK);
    return [];
  } catch (error) {
    return [newIssue(config, path, `expected a program; ${JSON.stringify(helper)} cannot be run (${codeOf(error)})`)];
  }
}
