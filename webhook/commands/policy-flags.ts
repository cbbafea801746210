import {KubeError} from '../../kube/error.ts';
import {CommandError, EXIT, type Arguments, type Flag} from '../../proc/command.ts';
import {ConfigError} from '../../proc/config/error.ts';
import {ObjectsError} from '../check/read-objects.ts';
import type {Sources} from '../check/sources.ts';
import type {PolicyProblem} from '../policy/shape.ts';

/** Flags of what judges by policies outside the webhook. */
export const POLICY_FLAGS: readonly Flag[] = [
  {
    name: 'filename',
    kind: 'text',
    short: 'f',
    many: true,
    description:
      'Policies: a file, or a folder with all below it; may be repeated. Without it the policies of the cluster',
    group: 'Policies',
  },
  {
    name: 'kubeconfig',
    kind: 'text',
    description: 'How to reach the cluster',
    group: 'Policies',
    shownDefault: 'as kubectl',
  },
  {
    name: 'config',
    kind: 'text',
    short: 'c',
    description: 'The configuration of the webhook, which says how images are renamed and whether they are pinned',
    group: 'Policies',
  },
  {
    name: 'namespace-labels',
    kind: 'text',
    many: true,
    description: 'Labels of namespaces as key=value, beside those that are known; may be repeated',
    group: 'Policies',
  },
  {name: 'json', kind: 'boolean', description: 'Prints JSON', group: 'Output'},
];

/** @throws {CommandError} for labels that are none. */
export function sourcesOf({flags}: Arguments): Sources {
  const [kubeconfig, config] = [flags['kubeconfig'], flags['config']];
  return {
    policyFiles: manyOf(flags['filename']),
    kubeconfig: typeof kubeconfig === 'string' ? kubeconfig : undefined,
    config: typeof config === 'string' ? config : undefined,
    namespaceLabels: labelsOf('namespace-labels', flags['namespace-labels']),
  };
}

export function manyOf(value: Arguments['flags'][string]): readonly string[] {
  return Array.isArray(value) ? (value as readonly string[]) : typeof value === 'string' ? [value] : [];
}

/** `key=value`, several in one with commas, as kubectl has them. */
export function labelsOf(flag: string, value: Arguments['flags'][string]): Readonly<Record<string, string>> {
  const pairs = manyOf(value).flatMap((one) => one.split(','));
  return Object.fromEntries(
    pairs.map((pair) => {
      const at = pair.indexOf('=');
      if (at < 1) throw new CommandError(EXIT.usage, `--${flag}: expected key=value, got ${JSON.stringify(pair)}`);
      return [pair.slice(0, at), pair.slice(at + 1)];
    }),
  );
}

/** What a person can be told becomes that; a bug stays one. */
export async function told<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    const isKnown =
      error instanceof ObjectsError ||
      error instanceof ConfigError ||
      error instanceof KubeError ||
      error instanceof TypeError;
    if (isKnown) throw new CommandError(EXIT.usage, error.message, {cause: error});
    throw error;
  }
}

/** @throws {CommandError} if a policy could not be used as it is: what it would say of images is no answer. */
export function refuseProblems(problems: readonly PolicyProblem[]): void {
  if (problems.length === 0) return;
  const lines = problems.flatMap(({kind, name, issues}) => [
    `${kind} ${name}:`,
    ...issues.map(({path, message}) => `  ${path}: ${message}`),
  ]);
  throw new CommandError(EXIT.usage, ['Policies have errors', ...lines].join('\n'));
}
