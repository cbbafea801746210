import {mkdir, rm} from 'node:fs/promises';
import {join} from 'node:path';
import type {Contestant, Running, Site} from './contestants/contestant.ts';
import type {Dataset} from './dataset.ts';
import type {Generator, LoadOptions, LoadReport, Step} from './generator.ts';
import type {Results} from './results.ts';
import type {Upstream} from './upstream.ts';
import {forgetPeak, readBusySeconds, readUsage, type Usage} from './usage.ts';
import {availableParallelism} from 'node:os';

const MIB = 1024 ** 2;
const CLIENT = 'containerd/1.6.20';
/** As containerd asks for manifests (B-030 and following); for blobs it says the same and registries ignore it. */
const CLIENT_HEADERS = [
  'Accept: application/vnd.docker.distribution.manifest.v2+json, application/vnd.docker.distribution.manifest.list.v2+json, ' +
    'application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json, */*',
];
/** Above this share of the processors taken by others a round is told apart in the report. */
const FOREIGN_SHARE_WORTH_SAYING = 0.15;

/** What a round took of the server, beside what the generator reports. */
export interface Round {
  readonly report: LoadReport;
  /** `undefined` where the server's process is not ours to see. */
  readonly before: Usage | undefined;
  readonly after: Usage | undefined;
}

/** What every scenario works with. */
export class Context {
  readonly generator: Generator;
  readonly dataset: Dataset;
  readonly upstream: Upstream;
  readonly rounds: number;
  readonly quick: boolean;
  readonly results: Results;
  /** Everything temporary is below it. */
  readonly work: string;
  /** Told what is going on. */
  readonly say: (text: string) => void;
  readonly #contestants: readonly Contestant[];
  #folders = 0;
  #clients = 0;
  constructor(parts: {
    readonly generator: Generator;
    readonly dataset: Dataset;
    readonly upstream: Upstream;
    readonly rounds: number;
    readonly quick: boolean;
    readonly results: Results;
    readonly work: string;
    readonly say: (text: string) => void;
    readonly contestants: readonly Contestant[];
  }) {
    this.generator = parts.generator;
    this.dataset = parts.dataset;
    this.upstream = parts.upstream;
    this.rounds = parts.rounds;
    this.quick = parts.quick;
    this.results = parts.results;
    this.work = parts.work;
    this.say = parts.say;
    this.#contestants = parts.contestants;
  }

  /** Those of the contestants that these names and the command line ask for; peers always. */
  contestants(...names: readonly string[]): readonly Contestant[] {
    const known = ['noost', 'nginx', 'nginx-cache', 'bare', 'distribution', 'sink'];
    return this.#contestants.filter(({name}) => names.includes(name) || !known.includes(name));
  }

  /** An empty folder, on the disk that the bench works on. */
  async folder(name: string): Promise<string> {
    const path = join(this.work, 'run', `${name}-${this.#folders++}`);
    await rm(path, {recursive: true, force: true});
    await mkdir(path, {recursive: true});
    return path;
  }

  async site(name: string, more: Partial<Site> = {}): Promise<Site> {
    const {generator, dataset, upstream} = this;
    return {generator, dataset, upstream, folder: await this.folder(name), ...more};
  }

  /** Starts all of them; one that does not start is a remark. The caller disposes of them. */
  async startAll(
    of: string,
    contestants: readonly Contestant[],
    more: Partial<Site> = {},
  ): Promise<ReadonlyMap<string, Running>> {
    const running = new Map<string, Running>();
    for (const contestant of contestants) {
      const started = await this.attempt(of, contestant.name, async () =>
        contestant.start(await this.site(contestant.name, more)),
      );
      if (started !== undefined) running.set(contestant.name, started);
    }
    return running;
  }

  /** ABAB…: each round asks each contestant once, so that what else the machine does meets all of them. */
  async alternate(
    of: string,
    names: Iterable<string>,
    measure: (name: string, round: number) => Promise<void>,
  ): Promise<void> {
    const all = [...names];
    for (let round = 0; round < this.rounds; round++)
      for (const name of all) {
        this.say(`${of} · round ${round + 1} of ${this.rounds} · ${name}`);
        await this.attempt(of, name, () => measure(name, round));
      }
  }

  /** What fails proves nothing about speed: it is said, and the others go on. */
  async attempt<T>(of: string, contestant: string, work: () => Promise<T>): Promise<T | undefined> {
    try {
      return await work();
    } catch (error) {
      this.results.remark(of, contestant, (error as Error).message.trim());
      return undefined;
    }
  }

  /** @param client its User-Agent; one that asks again may be served in another way than one that has not asked before. */
  async load(
    running: Running,
    steps: readonly (Step | 'barrier')[],
    {client = CLIENT, ...options}: Partial<LoadOptions> & {readonly client?: string} = {},
  ): Promise<LoadReport> {
    const {host, port} = running;
    const headers = [`User-Agent: ${client}`, ...CLIENT_HEADERS, ...running.headers];
    const threads = Math.max(1, Math.floor(availableParallelism() / 2)); // the other half is the server's
    return this.generator.run({host, port, headers, threads, ...options, steps});
  }

  /** A client that has not asked before. */
  newClient(): string {
    return `${CLIENT} (${++this.#clients})`;
  }

  /** `load`, and what it took of the server meanwhile. A round beside which others kept the machine busy is a remark. */
  async round(of: string, name: string, running: Running, load: () => Promise<LoadReport>): Promise<Round> {
    if (running.pid !== undefined) forgetPeak(running.pid);
    const before = running.pid === undefined ? undefined : readUsage(running.pid);
    const [busyBefore, ownBefore, begun] = [readBusySeconds(), ownSeconds(), performance.now()];
    const report = await load();
    const after = running.pid === undefined ? undefined : readUsage(running.pid);
    if (before !== undefined && after !== undefined) {
      const known = after.cpuSeconds - before.cpuSeconds + report.cpuSeconds + ownSeconds() - ownBefore;
      const seconds = (performance.now() - begun) / 1000;
      const foreign = Math.max(0, (readBusySeconds() - busyBefore - known) / (seconds * availableParallelism()));
      this.results.add(of, name, {foreignCpu: foreign});
      if (foreign > FOREIGN_SHARE_WORTH_SAYING)
        this.results.remark(of, '(machine)', 'was busy with other work in some rounds: see foreignCpu in the JSON');
    }
    return {report, before, after};
  }
}

/** Peak memory in MiB, where it is known. */
export function peakOf({after}: Round): {readonly peakMemory?: number} {
  return after === undefined ? {} : {peakMemory: after.peakBytes / MIB};
}

/** CPU seconds of the server per GB (10⁹ bytes) that its clients received, where it is known. */
export function cpuOf({before, after, report}: Round): {readonly cpuPerGb?: number} {
  return before === undefined || after === undefined
    ? {}
    : {cpuPerGb: (after.cpuSeconds - before.cpuSeconds) / (report.bytes / 1e9)};
}

function ownSeconds(): number {
  const {user, system} = process.cpuUsage();
  return (user + system) / 1e6;
}
