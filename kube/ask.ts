export interface Ask {
  readonly signal?: AbortSignal | undefined;
  readonly deadlineMs?: number;
  /** Of the answer's body. @default 32 MiB */
  readonly maxBytes?: number;
  /** What the server says aside, as kubectl prints it. */
  readonly onWarning?: (text: string) => void;
}

export interface Write extends Ask {
  readonly dryRun?: boolean;
  readonly fieldManager?: string;
}

export interface ListAsk extends Ask {
  readonly namespace?: string | undefined;
  readonly labelSelector?: string | undefined;
  readonly fieldSelector?: string | undefined;
  readonly limit?: number;
  readonly continue?: string | undefined;
  readonly resourceVersion?: string | undefined;
}

export interface WatchAsk {
  readonly namespace?: string | undefined;
  readonly labelSelector?: string | undefined;
  readonly fieldSelector?: string | undefined;
  readonly resourceVersion: string;
  /** After this the server ends the watch by itself. */
  readonly timeoutSeconds: number;
  /** No byte for so long, and the watch is taken for dead. */
  readonly maxSilenceMs: number;
  readonly signal: AbortSignal;
}

/** How a patch is written. `apply` is server-side apply: give `fieldManager`, and `force` to take fields over. */
export type Patch =
  | {readonly merge: object}
  | {readonly json: readonly object[]}
  | {readonly apply: object; readonly fieldManager: string; readonly force?: boolean};

export interface DeleteAsk extends Write {
  /** Only this very object, or this version of it. */
  readonly uid?: string | undefined;
  readonly resourceVersion?: string | undefined;
  readonly propagationPolicy?: 'Background' | 'Foreground' | 'Orphan';
  readonly gracePeriodSeconds?: number;
}

export function writeParameters({dryRun, fieldManager}: Write): Record<string, string | undefined> {
  return {dryRun: dryRun ? 'All' : undefined, fieldManager};
}

export function writeQuery(write: Write): string {
  return queryOf(writeParameters(write));
}

export function queryOf(values: Readonly<Record<string, string | number | boolean | undefined>>): string {
  const given = Object.entries(values).filter(([, value]) => value !== undefined && value !== '');
  if (given.length === 0) return '';
  return `?${given.map(([name, value]) => `${name}=${encodeURIComponent(String(value))}`).join('&')}`;
}
