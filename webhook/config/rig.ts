import assert from 'node:assert/strict';
import {execFileSync} from 'node:child_process';
import {mkdtemp, rm, writeFile} from 'node:fs/promises';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {ConfigError, type ConfigIssue} from '../../proc/config/error.ts';
import type {Texts} from '../../proc/config/text-layer.ts';
import {loadWebhookConfig} from './load.ts';
import type {WebhookConfig} from './shape.ts';

/** For the tests beside it: a folder with two certificates and their keys. */
export class WebhookConfigRig implements AsyncDisposable {
  readonly folder: string;
  private constructor(folder: string) {
    this.folder = folder;
  }

  static async create(): Promise<WebhookConfigRig> {
    const rig = new WebhookConfigRig(await mkdtemp(join(tmpdir(), 'noost-')));
    const kind = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-subj', '/CN=x'];
    for (const name of ['a', 'b']) {
      const files = ['-keyout', rig.path(`${name}.key`), '-out', rig.path(`${name}.crt`)];
      execFileSync('openssl', ['req', '-x509', ...kind, ...files], {stdio: 'ignore'});
    }
    return rig;
  }

  path(name: string): string {
    return join(this.folder, name);
  }

  /** Loads a file of this text; FOLDER in it is the rig's. */
  async load(yaml: string, flags: Texts = {}, env: Texts = {}): Promise<WebhookConfig> {
    await writeFile(this.path('noost-webhook.yaml'), yaml.replaceAll('FOLDER', this.folder));
    return loadWebhookConfig({config: this.path('noost-webhook.yaml'), ...flags}, env);
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
