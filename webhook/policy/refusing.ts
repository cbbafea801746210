import type {Outcome} from './shape.ts';

const known = new WeakMap<readonly Outcome[], readonly Outcome[]>();

/**
 * Those that do not accept, in their order. Of thousands few refuse and several readers ask, so it is kept by the list:
 * a list of outcomes is never written to.
 */
export function refusing(outcomes: readonly Outcome[]): readonly Outcome[] {
  let refusals = known.get(outcomes);
  if (refusals === undefined) known.set(outcomes, (refusals = outcomes.filter(({accepts}) => !accepts)));
  return refusals;
}

/** Whether none that enforces refuses. */
export function permitted(outcomes: readonly Outcome[]): boolean {
  return refusing(outcomes).every(({mode}) => mode !== 'Enforce');
}
