import type {Goal, Lookup} from './goal.ts';
import {METRICS, type Metric} from './metric.ts';
import {summarise, type Summary} from './statistics.ts';

/** All rounds of one metric of one contestant in one case. */
export interface Row extends Summary {
  readonly of: string;
  readonly contestant: string;
  readonly metric: Metric;
  readonly unit: string;
  readonly values: readonly number[];
}

export interface Verdict {
  readonly of: string;
  readonly goal: string;
  readonly shown: string;
  /** `undefined`: could not be judged, as what it needs was not measured. */
  readonly reached: boolean | undefined;
}

/** What could not run, or ran and proved nothing: said aloud. */
export interface Remark {
  readonly of: string;
  readonly contestant: string;
  readonly text: string;
}

/** A scenario's results as they go into the JSON file. */
export interface ScenarioResult {
  readonly scenario: string;
  readonly title: string;
  readonly seconds: number;
  readonly rows: readonly Row[];
  readonly verdicts: readonly Verdict[];
  readonly remarks: readonly Remark[];
}

interface Series {
  readonly of: string;
  readonly contestant: string;
  readonly metric: Metric;
  readonly values: number[];
}

/** Collects what a scenario measures. */
export class Results {
  /** In the order of first appearance. */
  readonly #series = new Map<string, Series>();
  readonly #remarks = new Map<string, Remark>();

  add(of: string, contestant: string, metrics: Readonly<Partial<Record<Metric, number>>>): void {
    for (const [metric, value] of Object.entries(metrics) as [Metric, number][]) {
      const key = JSON.stringify([of, contestant, metric]);
      let series = this.#series.get(key);
      if (series === undefined) this.#series.set(key, (series = {of, contestant, metric, values: []}));
      series.values.push(value);
    }
  }

  /** Said once for each case and contestant. */
  remark(of: string, contestant: string, text: string): void {
    this.#remarks.set(JSON.stringify([of, contestant, text]), {of, contestant, text});
  }

  finish(scenario: string, title: string, seconds: number, goals: readonly Goal[]): ScenarioResult {
    const rows = [...this.#series.values()].map((series) => ({
      ...series,
      unit: METRICS[series.metric].unit,
      ...summarise(series.values),
    }));
    const median: Lookup = ({of, contestant, metric}) =>
      rows.find((row) => row.of === of && row.contestant === contestant && row.metric === metric)?.median;
    const verdicts = goals.map((goal): Verdict => {
      const judgement = goal.judge(median);
      return {of: goal.of, goal: goal.text, shown: judgement?.shown ?? 'not measured', reached: judgement?.reached};
    });
    return {scenario, title, seconds, rows, verdicts, remarks: [...this.#remarks.values()]};
  }
}
