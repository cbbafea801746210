import {mkdtemp, rm, writeFile} from 'node:fs/promises';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {hashSync} from 'bcryptjs';
import {AgentRig, type AgentRigOptions} from './agent-rig.ts';
import {freePort} from './free-port.ts';

export interface User {
  readonly username: string;
  readonly password: string;
}
export const ALICE: User = {username: 'alice', password: 'open sesame'};
export const BOB: User = {username: 'bob', password: 'let me in'};

export interface HostedRigOptions {
  /** Keys of the direct listener, over the rig's own. */
  readonly listener?: Readonly<Record<string, unknown>>;
  /** The section `hosted`. @default the host reg.test */
  readonly hosted?: Readonly<Record<string, unknown>>;
  /** Further keys of `noost.yaml`. */
  readonly config?: Readonly<Record<string, unknown>>;
  readonly agent?: Omit<AgentRigOptions, 'config' | 'folder'>;
}

/**
 * A real agent with a direct listener beside its runtime listener, and two users.
 *
 *     await using registry = await HostedRig.start();
 *     await skopeo.push(image, `${registry.address}/team/app:v1`, ALICE);
 */
export class HostedRig implements AsyncDisposable {
  readonly agent: AgentRig;
  /** `host:port` of the direct listener. */
  readonly address: string;
  readonly usersFile: string;
  readonly #folder: string;
  private constructor(agent: AgentRig, address: string, folder: string) {
    this.agent = agent;
    this.address = address;
    this.usersFile = join(folder, 'users');
    this.#folder = folder;
  }

  static async start(options: HostedRigOptions = {}): Promise<HostedRig> {
    const folder = await mkdtemp(join(tmpdir(), 'noost-hosted-'));
    const address = `127.0.0.1:${await freePort()}`;
    const usersFile = join(folder, 'users');
    await writeFile(usersFile, usersText([ALICE, BOB]));
    const direct = {address, door: 'direct', users: {htpasswdFile: usersFile}, ...options.listener};
    const runtime = {address: `127.0.0.1:${await freePort()}`, door: 'runtime', anyLocalProcess: true};
    const config = {listeners: [runtime, direct], hosted: {host: 'reg.test', ...options.hosted}, ...options.config};
    try {
      return new HostedRig(await AgentRig.start({...options.agent, config}), address, folder);
    } catch (error) {
      await rm(folder, {recursive: true, force: true});
      throw error;
    }
  }

  /** `http://host:port` of the direct listener. */
  get url(): string {
    return `http://${this.address}`;
  }

  /** A request with a user's password, or as nobody. @param path after `/v2/`. */
  async send(user: User | undefined, method: string, path: string, init: RequestInit = {}): Promise<Response> {
    const authorization = user === undefined ? {} : {authorization: basic(user)};
    const headers = {...authorization, ...(init.headers as Record<string, string> | undefined)};
    return fetch(`${this.url}/v2/${path}`, {redirect: 'manual', ...init, method, headers});
  }

  /** The lines of the audit so far. */
  get audit(): readonly Readonly<Record<string, unknown>>[] {
    return this.agent.log.filter(({msg}) => msg === 'audit');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.agent[Symbol.asyncDispose]();
    await rm(this.#folder, {recursive: true, force: true});
  }
}

/** As `htpasswd -B` writes them, at the least cost. */
export function usersText(users: readonly User[]): string {
  return users.map(({username, password}) => `${username}:${hashSync(password, 4)}\n`).join('');
}

export function basic({username, password}: User): string {
  return `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`;
}
