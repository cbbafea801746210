import {mkdir, writeFile} from 'node:fs/promises';
import {join} from 'node:path';
import {poll} from '../poll.ts';
import {Child} from './child.ts';
import {environment} from './environment.ts';
import {run} from './run.ts';

export interface Target {
  /** `host:port` */
  readonly address: string;
  readonly labels: Readonly<Record<string, string>>;
}

export interface PrometheusOptions {
  readonly folder: string;
  /** `host:port`, reachable where its commands run. */
  readonly listen: string;
  readonly targets: readonly Target[];
  /** Put before the command, to run it in another namespace. */
  readonly inside: readonly string[];
}

interface Answer {
  readonly status: string;
  readonly error?: string;
  readonly data?: {readonly result: readonly {readonly value: readonly [number, string]}[]};
}

/** A real Prometheus that asks its targets every second. */
export class Prometheus implements AsyncDisposable {
  readonly #options: PrometheusOptions;
  readonly #child: Child;

  private constructor(options: PrometheusOptions, child: Child) {
    this.#options = options;
    this.#child = child;
  }

  static async start(options: PrometheusOptions): Promise<Prometheus> {
    const {folder, listen, targets, inside} = options;
    await mkdir(folder, {recursive: true});
    const config = {
      global: {scrape_interval: '1s', scrape_timeout: '1s'},
      scrape_configs: targets.map(({address, labels}, i) => ({
        job_name: `target-${String(i)}`,
        relabel_configs: [],
        static_configs: [{targets: [address], labels}],
      })),
    };
    await writeFile(join(folder, 'prometheus.yml'), JSON.stringify(config));
    const flags = [`--config.file=${folder}/prometheus.yml`, `--storage.tsdb.path=${folder}/data`];
    const [command, ...words] = [...inside, 'prometheus', ...flags, `--web.listen-address=${listen}`];
    const prometheus = new Prometheus(options, new Child(command, words, {env: environment(folder)}));
    await poll('Prometheus answers', async () => (await prometheus.query('up')).length === targets.length, 60_000);
    return prometheus;
  }

  /** The values that a query has now. @throws {Error} with what Prometheus says of it. */
  async query(expression: string): Promise<readonly number[]> {
    const [command, ...words] = [
      ...this.#options.inside,
      'curl',
      '-s',
      '--max-time',
      '10',
      '-G',
      '--data-urlencode',
      `query=${expression}`,
      `http://${this.#options.listen}/api/v1/query`,
    ];
    const {status, error, data} = JSON.parse((await run(command, words)).toString()) as Answer;
    if (status !== 'success') throw new Error(`${expression}: ${error ?? status}`);
    return data?.result.map(({value}) => Number(value[1])) ?? [];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#child.stop('SIGKILL');
  }
}
