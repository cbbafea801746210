import type {ConfigIssue} from './error.ts';
import {valueAt, type Layer} from './layer.ts';
import type {Setting} from './settings.ts';

/** What counts, from all layers. */
export interface Merged extends Layer {
  readonly issues: readonly ConfigIssue[];
}

/** What counts, setting by setting. */
export interface Chosen extends Layer {
  readonly tree: Record<string, unknown>;
  /** Setting's key → the layer that said it. */
  readonly winners: ReadonlyMap<string, Layer>;
}

/** @param layers the first that says a setting wins; a list is replaced, not added to. */
export function chooseSettings(settings: readonly Setting[], layers: readonly (Layer | undefined)[]): Chosen {
  const tree: Record<string, unknown> = {};
  const winners = new Map<string, Layer>();
  for (const {path, key} of settings) {
    const winner = layers.find((layer) => layer !== undefined && valueAt(layer.tree, path) !== undefined);
    if (winner === undefined) continue;
    winners.set(key, winner);
    put(tree, path, valueAt(winner.tree, path));
  }
  return {
    tree,
    winners,
    origin: (path) => {
      const setting = settings.find((s) => s.path.every((name, i) => path[i] === name));
      return (setting === undefined ? undefined : winners.get(setting.key)?.origin(path)) ?? 'default';
    },
  };
}

function put(tree: Record<string, unknown>, path: readonly string[], value: unknown): void {
  const [name = '', ...rest] = path;
  if (rest.length === 0) tree[name] = value;
  else put((tree[name] ??= {}) as Record<string, unknown>, rest, value); // only this function writes to it
}
