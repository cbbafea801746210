import {Counter, Gauge, type Metric, type Registry} from 'prom-client';
import {TalliedCounter, TimesHistogram} from './tally.ts';

/** Everything of both processes is under this prefix (E-001). */
export const PREFIX = 'noost_';

/** Metrics by their names without the prefix, each on the one page. */
export interface MetricPage {
  readonly counter: (name: string, help: string, labelNames?: readonly string[]) => Counter;
  readonly gauge: (name: string, help: string, labelNames?: readonly string[]) => Gauge;
  readonly histogram: (name: string, help: string, labelNames: readonly string[]) => TimesHistogram;
  /** For what each request counts. */
  readonly tallied: (name: string, help: string, labelNames: readonly string[]) => TalliedCounter;
}

/** @param buckets of every histogram, in seconds. */
export function newMetricPage(registry: Registry, buckets: readonly number[]): MetricPage {
  const registers = [registry];
  const registered = <M extends Metric>(metric: M): M => {
    registry.registerMetric(metric);
    return metric;
  };
  return {
    counter: (name, help, labelNames = []) => new Counter({name: PREFIX + name, help, labelNames, registers}),
    gauge: (name, help, labelNames = []) => new Gauge({name: PREFIX + name, help, labelNames, registers}),
    histogram: (name, help, labelNames) =>
      registered(new TimesHistogram({name: PREFIX + name, help, labelNames, buckets})),
    tallied: (name, help, labelNames) => registered(new TalliedCounter({name: PREFIX + name, help, labelNames})),
  };
}
