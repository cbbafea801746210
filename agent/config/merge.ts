import type {ConfigIssue} from '../../proc/config/error.ts';
import {formatPath, isRecord, type Layer} from '../../proc/config/layer.ts';
import {chooseSettings, type Merged} from '../../proc/config/merge.ts';
import type {TextLayer} from '../../proc/config/text-layer.ts';
import {KNOWN} from './settings.ts';

export const DEFAULT_LISTENER = {address: '127.0.0.1:5055', door: 'runtime'};

/** Flag beats variable beats file, setting by setting; a list is replaced, not added to. */
export function mergeLayers(flags: TextLayer, variables: TextLayer, file: Layer | undefined): Merged {
  const chosen = chooseSettings(KNOWN.settings, [flags, variables, file]);
  const {tree, winners} = chosen;
  const {listeners, issues, origins} = mergeListeners(flags, variables, winners.get('listeners'), tree['listeners']);
  return {
    tree: {...tree, listeners},
    issues,
    origin: (path) => origins.get(formatPath(path)) ?? chosen.origin(path),
  };
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
