import {formatPath, isRecord, valueAt, type Layer} from './layer.ts';
import type {ConfigIssue} from './error.ts';
import {SETTINGS} from './settings.ts';
import type {TextLayer} from './text-layer.ts';

/** What counts, from all layers. */
export interface Merged extends Layer {
  readonly issues: readonly ConfigIssue[];
}

export const DEFAULT_LISTENER = {address: '127.0.0.1:5055', door: 'runtime'};

/** Flag beats variable beats file, setting by setting; a list is replaced, not added to. */
export function mergeLayers(flags: TextLayer, variables: TextLayer, file: Layer | undefined): Merged {
  const layers: readonly Layer[] = [flags, variables, ...(file === undefined ? [] : [file])];
  const tree: Record<string, unknown> = {};
  const winners = new Map<string, Layer>();
  for (const {path, key} of SETTINGS) {
    const winner = layers.find((layer) => valueAt(layer.tree, path) !== undefined);
    if (winner === undefined) continue;
    winners.set(key, winner);
    put(tree, path, valueAt(winner.tree, path));
  }
  const {listeners, issues, origins} = mergeListeners(flags, variables, winners.get('listeners'), tree['listeners']);
  tree['listeners'] = listeners;
  return {
    tree,
    issues,
    origin: (path) => {
      const exact = origins.get(formatPath(path));
      if (exact !== undefined) return exact;
      const setting = SETTINGS.find((s) => s.path.every((name, i) => path[i] === name));
      return (setting === undefined ? undefined : winners.get(setting.key)?.origin(path)) ?? 'default';
    },
  };
}

function put(tree: Record<string, unknown>, path: readonly string[], value: unknown): void {
  const [name = '', ...rest] = path;
  if (rest.length === 0) tree[name] = value;
  else put((tree[name] ??= {}) as Record<string, unknown>, rest, value); // only this function writes to it
}

interface MergedListeners {
  readonly listeners: unknown;
  readonly issues: readonly ConfigIssue[];
  /** Formatted path → origin, for what short flags said. */
  readonly origins: ReadonlyMap<string, string>;
}

/** Applies --listen, --secret-file and --any-local-process, which stand for the one runtime listener. */
function mergeListeners(
  flags: TextLayer,
  variables: TextLayer,
  winner: Layer | undefined,
  listed: unknown,
): MergedListeners {
  const levels = winner === flags ? [flags] : [flags, variables]; // a list in flags leaves nothing to the variables
  const short = (name: string) => levels.map(({shorts}) => shorts.get(name)).find((said) => said !== undefined);
  const origins = new Map<string, string>();
  const listen = short('listen');
  let listeners: unknown = listed ?? [DEFAULT_LISTENER];
  if (listen !== undefined) {
    listeners = [{address: listen.value, door: 'runtime'}];
    origins.set('listeners[0]', listen.origin).set('listeners[0].address', listen.origin);
  }
  const issues: ConfigIssue[] = [];
  for (const [name, key] of [
    ['secret-file', 'secretFile'],
    ['any-local-process', 'anyLocalProcess'],
  ] as const) {
    const said = short(name);
    if (said === undefined) continue;
    const [only, ...more] = Array.isArray(listeners) ? (listeners as unknown[]) : [];
    if (!isRecord(only)) continue; // the schema says what is wrong with it
    if (more.length > 0) {
      issues.push({
        path: '',
        origin: said.origin,
        message: `is for one listener, and there are ${String(more.length + 1)}: say listeners[…].${key} instead`,
      });
      continue;
    }
    listeners = [{...only, [key]: said.value}];
    origins.set(`listeners[0].${key}`, said.origin);
  }
  return {listeners, issues, origins};
}
