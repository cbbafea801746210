import {readFile} from 'node:fs/promises';
import process from 'node:process';
import {CommandError, EXIT} from '../../proc/command.ts';
import {formatAddress} from '../../proc/config/address.ts';
import {ConfigError} from '../../proc/config/error.ts';
import type {NodeConfig} from '../config/shape.ts';
import {isAbsent} from '../node/host-path.ts';
import {parseSecret} from '../node/node-secret.ts';

/** What an agent's configuration says of its node. */
export interface Own extends Partial<Omit<NodeConfig, 'configure'>> {
  readonly runtime?: 'containerd' | 'crio';
  readonly url?: string;
  readonly secretFile?: string | undefined;
}

/** @param file `undefined`: there is none. @throws {CommandError} if it is no configuration. */
export async function readOwn(file: string | undefined): Promise<Own> {
  if (file === undefined) return {};
  const {loadAgentConfig} = await import('../config/load.ts');
  try {
    const {node, listeners} = await loadAgentConfig({config: file}, process.env);
    const {configure, ...said} = node;
    const runtime = configure === 'crio' ? configure : 'containerd';
    const listener = listeners.find(({door}) => door === 'runtime');
    if (listener === undefined) return {...said, runtime};
    return {...said, runtime, url: `http://${formatAddress(listener)}`, secretFile: listener.secretFile};
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    throw new CommandError(EXIT.failed, error.message, {cause: error});
  }
}

/** The agent makes its secret when it starts, and root alone may read it: without it is said, not failed. */
export async function readOwnSecret(file: string | undefined): Promise<string | undefined> {
  if (file === undefined) return undefined;
  try {
    return parseSecret(await readFile(file, 'utf8'));
  } catch (error) {
    if (isAbsent(error)) return undefined;
    throw new CommandError(EXIT.failed, `${file}: ${(error as Error).message}`, {cause: error});
  }
}
