import {Counter, Histogram} from 'prom-client';

/**
 * Counts of one combination of labels, as plain numbers: what each request adds to. prom-client's own way of counting
 * takes several times as long (docs/performance.md); it reads these when it is scraped.
 */
export class Times {
  /** A count for each bound, one for what is above all, and the sum of what was observed. */
  readonly cells: Float64Array;
  readonly #bounds: readonly number[];

  constructor(bounds: readonly number[]) {
    this.#bounds = bounds;
    this.cells = new Float64Array(bounds.length + 2);
  }

  observe(value: number): void {
    const {length} = this.#bounds;
    let i = 0;
    while (i < length && value > (this.#bounds[i] as number)) i++; // i < length
    (this.cells[i] as number)++;
    (this.cells[length + 1] as number) += value;
  }
}

type Labels = Readonly<Record<string, string>>;

interface HistogramOptions {
  readonly name: string;
  readonly help: string;
  readonly labelNames: readonly string[];
  readonly buckets: readonly number[];
}

/** A histogram whose observations are counted in `Times`. */
export class TimesHistogram extends Histogram {
  readonly #name: string;
  readonly #help: string;
  readonly #bounds: readonly number[];
  readonly #all = new Map<string, {readonly labels: Labels; readonly times: Times}>();

  constructor({name, help, labelNames, buckets}: HistogramOptions) {
    super({name, help, labelNames, buckets: [...buckets], registers: []});
    [this.#name, this.#help, this.#bounds] = [name, help, buckets];
  }

  /** The counts of these labels: always the same object. */
  times(labels: Labels): Times {
    const key = JSON.stringify(labels);
    let known = this.#all.get(key);
    if (known === undefined) this.#all.set(key, (known = {labels, times: new Times(this.#bounds)}));
    return known.times;
  }

  /** Would be counted where nobody reads it. */
  override observe(): never {
    throw new TypeError('Observe times(labels)');
  }

  /** As prom-client asks a metric for its samples, flat or for its text. */
  override get(): ReturnType<Histogram['get']> {
    const values = [...this.#all.values()].flatMap(({labels, times}) => this.#samples(labels, times));
    const described = {name: this.#name, help: this.#help, type: 'histogram', aggregator: 'sum', values};
    return Promise.resolve(described) as unknown as ReturnType<Histogram['get']>; // its own type of values is not exported
  }

  getForPromString(): ReturnType<Histogram['get']> {
    return this.get();
  }

  #samples(labels: Labels, {cells}: Times): object[] {
    let count = 0;
    const buckets = [...this.#bounds, '+Inf'].map((le, i) => {
      count += cells[i] ?? 0;
      return {metricName: `${this.#name}_bucket`, labels: {le, ...labels}, value: count};
    });
    return [
      ...buckets,
      {metricName: `${this.#name}_sum`, labels, value: cells[this.#bounds.length + 1]},
      {metricName: `${this.#name}_count`, labels, value: count},
    ];
  }
}

/** A counter whose labels are counted in plain numbers, added when it is scraped. */
export class TalliedCounter extends Counter {
  readonly #all: {readonly labels: Labels; readonly tally: {count: number}}[] = [];

  constructor(options: Omit<HistogramOptions, 'buckets'>) {
    super({
      ...options,
      registers: [],
      collect() {
        (this as unknown as TalliedCounter).#drain(); // prom-client calls it with the counter itself
      },
    });
  }

  /** Add to `count`. To be kept by the caller: each call makes one. */
  tally(labels: Labels): {count: number} {
    const tally = {count: 0};
    this.#all.push({labels, tally});
    return tally;
  }

  #drain(): void {
    for (const {labels, tally} of this.#all) {
      if (tally.count > 0) this.inc(labels, tally.count);
      tally.count = 0;
    }
  }
}
