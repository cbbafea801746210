import {mkdtemp, rm, writeFile} from 'node:fs/promises';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {hashSync} from 'bcryptjs';
import {digestOf, type Digest} from '../oci/digest.ts';
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
  /** @default none */
  readonly anonymous?: 'none' | 'pull';
  /** Keys of the runtime listener, over the rig's own: it believes every local process. */
  readonly runtime?: Readonly<Record<string, unknown>>;
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
  /** `host:port` of the runtime listener. */
  readonly runtimeAddress: string;
  readonly usersFile: string;
  readonly #folder: string;
  private constructor(agent: AgentRig, addresses: {direct: string; runtime: string}, folder: string) {
    this.agent = agent;
    this.address = addresses.direct;
    this.runtimeAddress = addresses.runtime;
    this.usersFile = join(folder, 'users');
    this.#folder = folder;
  }

  static async start(options: HostedRigOptions = {}): Promise<HostedRig> {
    const folder = await mkdtemp(join(tmpdir(), 'noost-hosted-'));
    const addresses = {direct: `127.0.0.1:${await freePort()}`, runtime: `127.0.0.1:${await freePort()}`};
    const usersFile = join(folder, 'users');
    await writeFile(usersFile, usersText([ALICE, BOB]));
    const config = configOf(options, addresses, usersFile);
    try {
      return new HostedRig(await AgentRig.start({...options.agent, config}), addresses, folder);
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

  /** Has the agent read another configuration. */
  async reload(options: HostedRigOptions): Promise<void> {
    const addresses = {direct: this.address, runtime: this.runtimeAddress};
    await this.agent.writeConfig(configOf(options, addresses, this.usersFile));
    this.agent.signal('SIGHUP');
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

function configOf(
  {anonymous = 'none', listener, runtime, hosted, config}: HostedRigOptions,
  addresses: {readonly direct: string; readonly runtime: string},
  htpasswdFile: string,
): Record<string, unknown> {
  const direct = {address: addresses.direct, door: 'direct', users: {htpasswdFile, anonymous}, ...listener};
  const nodes = {address: addresses.runtime, door: 'runtime', anyLocalProcess: true, ...runtime};
  return {listeners: [nodes, direct], hosted: {host: 'reg.test', ...hosted}, ...config};
}

/** As `htpasswd -B` writes them, at the least cost. */
export function usersText(users: readonly User[]): string {
  return users.map(({username, password}) => `${username}:${hashSync(password, 4)}\n`).join('');
}

export function basic({username, password}: User): string {
  return `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`;
}

/** What `push` put into a repository. */
export interface Pushed {
  readonly digest: Digest;
  readonly bytes: Buffer;
  readonly blobs: readonly {readonly digest: Digest; readonly size: number}[];
}

const MANIFEST = 'application/vnd.oci.image.manifest.v1+json';

/** Pushes an image of these layers, as a client would that knows only POST + PUT. */
export async function push(
  registry: HostedRig,
  user: User,
  repository: string,
  tag: string,
  layers: readonly Buffer[],
): Promise<Pushed> {
  const config = Buffer.from('{}');
  const blobs: {digest: Digest; size: number; mediaType: string}[] = [];
  for (const bytes of [config, ...layers]) {
    const digest = await pushBlob(registry, user, repository, bytes);
    blobs.push({digest, size: bytes.length, mediaType: 'application/octet-stream'});
  }
  const body = {schemaVersion: 2, mediaType: MANIFEST, config: blobs[0], layers: blobs.slice(1)};
  const bytes = Buffer.from(JSON.stringify(body, undefined, 1));
  const headers = {'content-type': MANIFEST};
  const put = await registry.send(user, 'PUT', `${repository}/manifests/${tag}`, {body: bytes, headers});
  if (put.status !== 201) throw new Error(`PUT ${tag}: ${put.status} ${await put.text()}`);
  return {digest: digestOf(bytes), bytes, blobs};
}

export async function pushBlob(registry: HostedRig, user: User, repository: string, bytes: Buffer): Promise<Digest> {
  const digest = digestOf(bytes);
  const path = `${repository}/blobs/uploads/?digest=${digest}`;
  const answer = await registry.send(user, 'POST', path, {body: bytes});
  if (answer.status !== 201) throw new Error(`POST of a blob: ${answer.status} ${await answer.text()}`);
  return digest;
}
