import {mkdir, mkdtemp, readdir, readFile, readlink, rm, writeFile} from 'node:fs/promises';
import {tmpdir} from 'node:os';
import {dirname, join} from 'node:path';
import {freePort} from './free-port.ts';
import {Child} from './peers/child.ts';
import {environment} from './peers/environment.ts';
import {run} from './peers/run.ts';

const CHECKOUT = dirname(import.meta.dirname);
const PROGRAM = join(CHECKOUT, 'noost');

export interface AgentRigOptions {
  /**
   * Keys of `noost.yaml`, put over the rig's own: one runtime listener that asks no proof, an admin listener, `data` in a
   * temporary folder, a cache on nearly whatever disk there is.
   */
  readonly config?: Readonly<Record<string, unknown>>;
  /** The listener asks for the secret in this file instead of believing any local process. */
  readonly secretFile?: string;
  /** Command-line arguments after `agent --config FILE`. */
  readonly args?: readonly string[];
  readonly env?: NodeJS.ProcessEnv;
  /** Put before the command, to run it in another namespace: `machine.inside`, or a shell that sets limits and execs. */
  readonly inside?: readonly string[];
  /** @default a temporary one, removed at the end. One that is given stays. */
  readonly folder?: string;
  /** @default 30,000 */
  readonly readyMs?: number;
}

/** What the operating system says of the agent's process. */
export interface ProcessUsage {
  readonly residentBytes: number;
  readonly threads: number;
  readonly descriptors: number;
}

/**
 * A real `./noost agent`, as a process of its own. Disposed of, it is stopped with SIGTERM and its folder removed.
 *
 *     await using agent = await AgentRig.start({config: {upstreams: [{host: 'up.test', url: registry.url}]}});
 *     await skopeo.copy(`docker://${agent.address}/up.test/app:1`, `dir:${folder}`);
 *     await agent.stop('SIGKILL');
 *     await agent.restart();              // same data, same ports
 */
export class AgentRig implements AsyncDisposable {
  /** Holds `noost.yaml` and, unless configured otherwise, `data/`. */
  readonly folder: string;
  /** `host:port` of the runtime listener. */
  readonly address: string;
  readonly adminAddress: string;
  readonly #options: AgentRigOptions;
  #child: Child;

  private constructor(folder: string, address: string, adminAddress: string, options: AgentRigOptions) {
    this.folder = folder;
    this.address = address;
    this.adminAddress = adminAddress;
    this.#options = options;
    this.#child = this.#launch();
  }

  /** Starts an agent and waits until it is ready. @throws {Error} with the end of its log if it does not get there. */
  static async start(options: AgentRigOptions = {}): Promise<AgentRig> {
    const folder = options.folder ?? (await mkdtemp(join(tmpdir(), 'noost-agent-')));
    await mkdir(folder, {recursive: true});
    const [address, adminAddress] = [`127.0.0.1:${await freePort()}`, `127.0.0.1:${await freePort()}`];
    await writeConfig(folder, address, adminAddress, options.config, options.secretFile);
    const rig = new AgentRig(folder, address, adminAddress, options);
    await rig.untilReady().catch(async (error: unknown) => {
      await rig[Symbol.asyncDispose]();
      throw error;
    });
    return rig;
  }

  get url(): string {
    return `http://${this.address}`;
  }

  get dataDir(): string {
    const configured = this.#options.config?.['data'];
    return typeof configured === 'string' ? configured : join(this.folder, 'data');
  }

  get pid(): number {
    return this.#child.pid;
  }

  get running(): boolean {
    return this.#child.running;
  }

  /** Exit status or signal of the last run; `undefined` while it runs. */
  get status(): number | NodeJS.Signals | undefined {
    return this.#child.status;
  }

  /** What the present run said on stdout and stderr, a line each. */
  get lines(): readonly string[] {
    return this.#child.lines;
  }

  /** The lines that are JSON objects, parsed. */
  get log(): readonly Readonly<Record<string, unknown>>[] {
    return this.lines.filter((line) => line.startsWith('{')).map((line) => JSON.parse(line) as Record<string, unknown>);
  }

  async untilReady(): Promise<void> {
    await this.#child.untilReady(
      async () => (await this.admin('/readyz').catch(() => '')) !== '',
      this.#options.readyMs,
    );
  }

  /** Waits until it ended by itself, as after a fault point. */
  async ended(): Promise<number | NodeJS.Signals | undefined> {
    return this.#child.ended();
  }

  signal(signal: NodeJS.Signals): void {
    this.#child.signal(signal);
  }

  /** Ends it and waits until it is gone. SIGTERM drains; SIGKILL is the crash. */
  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
    await this.#child.stop(signal);
  }

  /**
   * Runs it again on the same data and ports, stopping it first if it runs.
   * @param change what is different this time.
   */
  async restart(change: Pick<AgentRigOptions, 'config' | 'env'> = {}): Promise<void> {
    await this.stop();
    if (change.config) await this.writeConfig(change.config);
    this.#child = this.#launch(change.env);
    await this.untilReady();
  }

  /** Rewrites `noost.yaml` with these keys over the rig's own; send SIGHUP to have it read. */
  async writeConfig(config: Readonly<Record<string, unknown>>): Promise<void> {
    const {config: before, secretFile} = this.#options;
    await writeConfig(this.folder, this.address, this.adminAddress, {...before, ...config}, secretFile);
  }

  /** Runs another command of the program against this agent's data: `await agent.noost('ls', '--json')`. */
  async noost(command: string, ...args: readonly string[]): Promise<string> {
    const words = [...this.#inside, PROGRAM, command, '--data', this.dataDir, ...args];
    return (await run(words[0] ?? '', words.slice(1), {env: this.#env()})).toString();
  }

  /** Runs `noost containerd …` beside the agent, which need not run. */
  async noostContainerd(...args: readonly string[]): Promise<string> {
    const words = [...this.#inside, PROGRAM, 'containerd', ...args];
    return (await run(words[0] ?? '', words.slice(1), {env: this.#env()})).toString();
  }

  /** Body of a GET of the admin listener. @throws {Error} unless it answers 200. */
  async admin(path: string): Promise<string> {
    const url = `http://${this.adminAddress}${path}`;
    if (this.#inside.length > 0) return getFrom(this.#inside, url, this.#env());
    const response = await fetch(url);
    const body = await response.text();
    if (response.status !== 200) throw new Error(`GET ${path}: ${response.status} ${body}`);
    return body;
  }

  /**
   * Sum of all samples of a metric whose labels include `labels`; 0 if there is none.
   * @example await agent.metric('noost_upstream_requests_total', {host: 'other'})
   */
  async metric(name: string, labels: Readonly<Record<string, string>> = {}): Promise<number> {
    const wanted = Object.entries(labels).map(([key, value]) => `${key}=${JSON.stringify(value)}`);
    let sum = 0;
    for (const line of (await this.admin('/metrics')).split('\n')) {
      const [, metric, found = '', value] = /^([a-zA-Z_:]\w*)(\{.*\})? (\S+)/.exec(line) ?? [];
      if (metric === name && wanted.every((label) => found.includes(label))) sum += Number(value);
    }
    return sum;
  }

  async usage(): Promise<ProcessUsage> {
    const status = await readFile(`/proc/${this.pid}/status`, 'utf8');
    const field = (name: string): number => Number(new RegExp(`^${name}:\\s+(\\d+)`, 'm').exec(status)?.[1]);
    const descriptors = (await readdir(`/proc/${this.pid}/fd`)).length;
    return {residentBytes: field('VmRSS') * 1024, threads: field('Threads'), descriptors};
  }

  /** What is open, counted by kind: for the message of a test that fails. */
  async descriptors(): Promise<string> {
    const counts = new Map<string, number>();
    for (const fd of await readdir(`/proc/${this.pid}/fd`)) {
      const target = await readlink(`/proc/${this.pid}/fd/${fd}`).catch(() => 'gone');
      const kind = target.replace(/\d+/g, '#');
      counts.set(kind, (counts.get(kind) ?? 0) + 1);
    }
    return [...counts].map(([kind, count]) => `${count} ${kind}`).join(', ');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
    if (this.#options.folder === undefined) await rm(this.folder, {recursive: true, force: true});
  }

  get #inside(): readonly string[] {
    return this.#options.inside ?? [];
  }

  #env(more: NodeJS.ProcessEnv = {}): NodeJS.ProcessEnv {
    return environment(this.folder, {...this.#options.env, ...more});
  }

  #launch(env?: NodeJS.ProcessEnv): Child {
    const file = join(this.folder, 'noost.yaml');
    const command = [...this.#inside, PROGRAM, 'agent', '--config', file, ...(this.#options.args ?? [])];
    return new Child(command[0] ?? '', command.slice(1), {cwd: this.folder, env: this.#env(env)});
  }
}

/** JSON is YAML. */
async function writeConfig(
  folder: string,
  address: string,
  adminListen: string,
  more: object = {},
  secretFile?: string,
): Promise<void> {
  // One that configures its node has a secret of its own making.
  const believed = 'node' in more ? {} : {anyLocalProcess: true};
  const proof = secretFile === undefined ? believed : {secretFile};
  const listeners = [{address, door: 'runtime', ...proof}];
  // The rest of a disk may be nearly full where tests run: then an agent as shipped keeps nothing.
  const cache = {minFreeDisk: '1%', ...('cache' in more && (more.cache as object))};
  const config = {listeners, adminListen, data: join(folder, 'data'), ...more, cache};
  await writeFile(join(folder, 'noost.yaml'), JSON.stringify(config, undefined, 2));
}

const GET = `const r = await fetch(process.argv[1]); const t = await r.text();
if (r.status !== 200) throw new Error(r.status + ' ' + t); process.stdout.write(t);`;

/** A GET from another network namespace. */
async function getFrom(inside: readonly string[], url: string, env: NodeJS.ProcessEnv): Promise<string> {
  const command = [...inside, process.execPath, '--input-type=module', '--eval', GET, url];
  return (await run(command[0] ?? '', command.slice(1), {env})).toString();
}
