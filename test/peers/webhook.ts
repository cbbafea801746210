import {mkdtemp, rm, writeFile} from 'node:fs/promises';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {stringify} from 'yaml';
import {freePort} from '../free-port.ts';
import {Child} from './child.ts';
import type {Kubernetes} from './kubernetes.ts';

const FILE = 'noost-webhook.yaml';
const CHECKOUT = join(import.meta.dirname, '..', '..');
/** A certificate, the configurations and arming, on a machine that does much else. */
const READY_MS = 60_000;

export interface WebhookOptions {
  /** Of noost-webhook.yaml. */
  readonly config?: Readonly<Record<string, unknown>>;
  /** Where it listens, if not at a port of its own. */
  readonly port?: number;
  /** Where the API server calls, if not there: something in between. */
  readonly url?: string;
  /** Before it is started, for what is in between. */
  readonly onPort?: (port: number) => void;
  readonly env?: NodeJS.ProcessEnv;
}

/** One line of the log: a decision. */
export interface AuditLine {
  readonly decision: string;
  readonly pass: string;
  readonly allowed: boolean;
  readonly reason: string;
  readonly namespace: string;
  readonly name: string;
  readonly images?: readonly {readonly path: string; readonly written: string; readonly left?: string}[];
}

/** `noost webhook` as a process of its own beside a test cluster, which calls it by URL. */
export class WebhookProcess implements AsyncDisposable {
  readonly child: Child;
  readonly port: number;
  readonly #admin: number;
  readonly #folder: string;
  readonly #config: object;

  private constructor(
    child: Child,
    ports: {readonly port: number; readonly admin: number},
    {folder, config}: {readonly folder: string; readonly config: object},
  ) {
    this.child = child;
    this.port = ports.port;
    this.#admin = ports.admin;
    this.#folder = folder;
    this.#config = config;
  }

  /** Starts it without waiting until it is ready. */
  static async spawn(kubernetes: Kubernetes, options: WebhookOptions = {}): Promise<WebhookProcess> {
    const folder = await mkdtemp(join(tmpdir(), 'noost-webhook-'));
    const [port, admin] = [options.port ?? (await freePort()), await freePort()];
    options.onPort?.(port);
    const config = {
      listen: `127.0.0.1:${String(port)}`,
      adminListen: `127.0.0.1:${String(admin)}`,
      kubeconfig: kubernetes.kubeconfig,
      url: options.url ?? `https://127.0.0.1:${String(port)}`,
      log: {format: 'json'},
      ...options.config,
    };
    const file = join(folder, FILE);
    await writeFile(file, stringify(config));
    const args = [join(CHECKOUT, 'proc/cli.ts'), 'webhook', '--config', file];
    const child = new Child(join(CHECKOUT, 'noost-node'), args, {env: {...process.env, ...options.env}});
    return new WebhookProcess(child, {port, admin}, {folder, config});
  }

  /** Starts it, and waits until `/readyz` says that it is called and armed. */
  static async start(kubernetes: Kubernetes, options: WebhookOptions = {}): Promise<WebhookProcess> {
    const webhook = await WebhookProcess.spawn(kubernetes, options);
    try {
      await webhook.untilReady();
      return webhook;
    } catch (error) {
      await webhook[Symbol.asyncDispose]();
      throw error;
    }
  }

  async untilReady(): Promise<void> {
    await this.child.untilReady(
      async () => (await this.ask('/readyz').catch(() => undefined))?.status === 200,
      READY_MS,
    );
  }

  /** Writes other settings into its file and has it read again; what it logs says how that went. */
  async reconfigure(config: Readonly<Record<string, unknown>>): Promise<void> {
    const before = this.#reloads();
    await writeFile(join(this.#folder, FILE), stringify({...this.#config, ...config}));
    this.child.signal('SIGHUP');
    await this.child.untilReady(() => this.#reloads() > before);
  }

  /** At the listener for health and metrics. */
  ask(path: string): Promise<Response> {
    return fetch(`http://127.0.0.1:${String(this.#admin)}${path}`);
  }

  async metrics(): Promise<string> {
    return (await this.ask('/metrics')).text();
  }

  /** Sum of a counter's series that have all these labels. */
  async counter(name: string, labels: Readonly<Record<string, string>> = {}): Promise<number> {
    const wanted = Object.entries(labels).map(([key, value]) => `${key}="${value}"`);
    const lines = (await this.metrics())
      .split('\n')
      .filter((line) => line.startsWith(`${name}{`) || line.startsWith(`${name} `));
    return lines
      .filter((line) => wanted.every((label) => line.includes(label)))
      .reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' ') + 1)), 0);
  }

  /** Its log's lines about decisions, oldest first. */
  audit(): AuditLine[] {
    return this.child.lines
      .filter((line) => line.includes('"decision":"'))
      .map((line) => JSON.parse(line) as AuditLine);
  }

  #reloads(): number {
    return this.child.lines.filter((line) => /configuration (?:reloaded|was not reloaded)/.test(line)).length;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.child.stop();
    await rm(this.#folder, {recursive: true, force: true});
  }
}
