import {METRICS, type Metric} from './metric.ts';

/** The median of a metric, or `undefined` where it was not measured. */
export type Lookup = (name: {
  readonly of: string;
  readonly contestant: string;
  readonly metric: Metric;
}) => number | undefined;

export interface Judgement {
  /** As a person reads it: `1.04×`. */
  readonly shown: string;
  readonly reached: boolean;
}

/** One line of the table of goals in the issue that asked for the bench. */
export interface Goal {
  /** The case it is about. */
  readonly of: string;
  readonly text: string;
  /** `undefined`: what it needs was not measured. */
  judge(median: Lookup): Judgement | undefined;
}

type Bound = {readonly atLeast: number} | {readonly atMost: number};

/** Noost's median against another contestant's in the same case. */
export function ratioGoal(options: {readonly of: string; readonly metric: Metric; readonly to: string} & Bound): Goal {
  const {of, metric, to} = options;
  return boundGoal({
    ...options,
    text: (bound) => `${METRICS[metric].unit} ${bound}× ${to}`,
    value: (median) => quotient(median({of, metric, contestant: 'noost'}), median({of, metric, contestant: to})),
    unit: '×',
  });
}

/** A number with a bound, however it is found. */
export function boundGoal(
  options: {
    readonly of: string;
    readonly text: (bound: string) => string;
    readonly value: (median: Lookup) => number | undefined;
    readonly unit: string;
  } & Bound,
): Goal {
  const {of, text, value, unit} = options;
  const bound = 'atLeast' in options ? `≥ ${options.atLeast}` : `≤ ${options.atMost}`;
  return {
    of,
    text: text(bound),
    judge: (median) => {
      const found = value(median);
      if (found === undefined) return undefined;
      return {
        shown: `${round(found)}${unit}`,
        reached: 'atLeast' in options ? found >= options.atLeast : found <= options.atMost,
      };
    },
  };
}

/** One of Noost's own medians against a number. */
export function limitGoal(options: {readonly of: string; readonly metric: Metric} & Bound): Goal {
  const {of, metric} = options;
  return boundGoal({
    ...options,
    text: (bound) => `${bound} ${METRICS[metric].unit}`,
    value: (median) => median({of, metric, contestant: 'noost'}),
    unit: ` ${METRICS[metric].unit}`,
  });
}

export function quotient(a: number | undefined, b: number | undefined): number | undefined {
  return a === undefined || b === undefined || b === 0 ? undefined : a / b;
}

/** Three significant digits, as many as the spread of any round deserves. */
export function round(value: number): string {
  return Math.abs(value) >= 100 ? Math.round(value).toString() : Number(value.toPrecision(3)).toString();
}
