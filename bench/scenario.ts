import type {Context} from './context.ts';
import type {Goal} from './goal.ts';

/** One of the bench's questions. */
export interface Scenario {
  readonly name: string;
  /** One sentence: what is asked of whom. */
  readonly title: string;
  readonly goals: readonly Goal[];
  run(context: Context): Promise<void>;
}
