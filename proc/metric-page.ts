import {Counter, Gauge, Histogram, type Registry} from 'prom-client';

/** Everything of both processes is under this prefix (E-001). */
export const PREFIX = 'noost_';

/** Metrics by their names without the prefix, each on the one page. */
export interface MetricPage {
  readonly counter: (name: string, help: string, labelNames?: readonly string[]) => Counter;
  readonly gauge: (name: string, help: string, labelNames?: readonly string[]) => Gauge;
  readonly histogram: (name: string, help: string, labelNames: readonly string[]) => Histogram;
}

/** @param buckets of every histogram, in seconds. */
export function newMetricPage(registry: Registry, buckets: readonly number[]): MetricPage {
  const registers = [registry];
  return {
    counter: (name, help, labelNames = []) => new Counter({name: PREFIX + name, help, labelNames, registers}),
    gauge: (name, help, labelNames = []) => new Gauge({name: PREFIX + name, help, labelNames, registers}),
    histogram: (name, help, labelNames) =>
      new Histogram({name: PREFIX + name, help, labelNames, buckets: [...buckets], registers}),
  };
}
