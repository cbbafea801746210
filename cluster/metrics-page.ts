/** A page of metrics in Prometheus' text format, as far as totals go. @see https://prometheus.io/docs/instrumenting/exposition_formats/ */
export class MetricsPage {
  /** Name of a metric → its samples. */
  readonly #samples = new Map<string, {readonly labels: string; readonly value: number}[]>();

  constructor(text: string) {
    for (const [, name = '', labels = '', value = ''] of text.matchAll(
      /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? ([-+.\deE]+|NaN|[-+]?Inf)(?: \d+)?$/gm,
    )) {
      const all = this.#samples.get(name) ?? [];
      all.push({labels, value: Number(value)});
      this.#samples.set(name, all);
    }
  }

  /** The sum over all samples that carry the label; `undefined` where there is no such metric. */
  sum(name: string, label?: readonly [name: string, value: string]): number | undefined {
    const all = this.#samples.get(name);
    if (all === undefined) return undefined;
    const wanted = label === undefined ? '' : `${label[0]}="${label[1]}"`;
    return all.filter(({labels}) => labels.includes(wanted)).reduce((total, {value}) => total + value, 0);
  }

  /** What a label says at the first sample of a metric. */
  label(name: string, label: string): string | undefined {
    const [first] = this.#samples.get(name) ?? [];
    return new RegExp(`(?:^|,)${label}="([^"]*)"`).exec(first?.labels ?? '')?.[1];
  }
}
