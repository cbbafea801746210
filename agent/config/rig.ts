import assert from 'node:assert/strict';
import {execFileSync} from 'node:child_process';
import {chmod, mkdtemp, rm, writeFile} from 'node:fs/promises';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {ConfigError, type ConfigIssue} from '../../proc/config/error.ts';
import {loadAgentConfig} from './load.ts';
import type {AgentConfig} from './shape.ts';
import type {Texts} from '../../proc/config/text-layer.ts';

/** For the tests beside it: a folder with the files that a configuration may name, good ones and bad ones. */
export class ConfigRig implements AsyncDisposable {
  readonly folder: string;
  private constructor(folder: string) {
    this.folder = folder;
  }

  static async create(): Promise<ConfigRig> {
    const rig = new ConfigRig(await mkdtemp(join(tmpdir(), 'noost-')));
    const files = {
      secret: ' 0123456789abcdef\n',
      short: '0123456789abcde\n',
      password: 'swordfish\n',
      blank: '\n',
      'config.json': '{"auths": {}}',
      helper: '#!/bin/sh\n',
      users: 'alice:$2y$10$lulUTYmVsCI4D/1pL2xY/uSRiP/rGFwmRGtaBrlYnKehcxjESx8Bm\n',
      plain: 'alice:swordfish\n',
    };
    await Promise.all(Object.entries(files).map(([name, text]) => writeFile(rig.path(name), text)));
    await chmod(rig.path('helper'), 0o755);
    // Two pairs, so that one's certificate can be tried with the other's key.
    for (const name of ['a', 'b']) newKeyPair(rig.path(`${name}.key`), rig.path(`${name}.crt`));
    return rig;
  }

  path(name: string): string {
    return join(this.folder, name);
  }

  /** Loads a file of this text; FOLDER in it is the rig's. */
  async load(yaml: string, flags: Texts = {}, env: Texts = {}): Promise<AgentConfig> {
    await writeFile(this.path('noost.yaml'), yaml.replaceAll('FOLDER', this.folder));
    return loadAgentConfig({data: this.folder, config: this.path('noost.yaml'), ...flags}, env);
  }

  /** What is wrong with it; each is in the message, too. */
  async issuesOf(yaml: string, flags: Texts = {}, env: Texts = {}): Promise<readonly ConfigIssue[]> {
    const error: unknown = await this.load(yaml, flags, env).then(
      () => new Error(`accepted: ${yaml}`),
      (reason: unknown) => reason,
    );
    if (!(error instanceof ConfigError)) throw error;
    for (const {path, message} of error.issues)
      assert.ok(error.message.includes(path) && error.message.includes(message));
    return error.issues;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.folder, {recursive: true});
  }
}

function newKeyPair(key: string, certificate: string): void {
  const kind = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-subj', '/CN=x'];
  execFileSync('openssl', ['req', '-x509', ...kind, '-keyout', key, '-out', certificate], {stdio: 'ignore'});
}
