import {parseDocument} from 'yaml';
import {didYouMean} from '../nearest.ts';
import type {ConfigIssue} from './error.ts';
import type {Layer} from './layer.ts';
import {CONFIG_VARIABLE, type KnownSettings, type Setting} from './settings.ts';

/** Flags or variables, by their names; `undefined` is not said. */
export type Texts = Readonly<Record<string, string | boolean | undefined>>;

/** A layer of flags or of variables, with what stands for the one item of a list apart. */
export interface TextLayer extends Layer {
  readonly issues: readonly ConfigIssue[];
  /** Flag (the agent's `listen`, for one) → value and where it was said. */
  readonly shorts: ReadonlyMap<string, {readonly value: string | boolean; readonly origin: string}>;
}

/** Variables that others read: the launcher, the fault points of the tests. */
const FOREIGN = new Set(['NOOST_NODE', 'NOOST_FAULT', 'NOOST_HANDOVER']);
/** Tests and benchmarks have their own corners. */
const FOR_TESTS = /^NOOST_(?:TEST|BENCH)_/;
/**
 * Kubernetes puts these into every pod for each Service, and ours are called noost, noost-webhook and so on.
 * @see https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables
 */
const SERVICE_LINK =
  /^NOOST_(?:[A-Z0-9_]+_)?(?:SERVICE_HOST|SERVICE_PORT(?:_[A-Z0-9_]+)?|PORT(?:_\d+_(?:TCP|UDP|SCTP)(?:_(?:PROTO|PORT|ADDR))?)?)$/;

/** @param flags by their names without dashes; what is not a setting is ignored. */
export function readFlags(flags: Texts, known: KnownSettings): TextLayer {
  return readTexts(known, (name) => ({text: flags[name.flag], origin: `--${name.flag}`}), []);
}

/** @param env as `process.env`. Empty is not said. Unknown NOOST_ variables are issues. */
export function readVariables(env: Texts, settings: KnownSettings): TextLayer {
  const known = new Set([
    CONFIG_VARIABLE,
    ...settings.settings.map((s) => s.variable),
    ...settings.shorts.map((s) => s.variable),
  ]);
  const unknown = Object.keys(env).filter(
    (name) =>
      name.startsWith('NOOST_') &&
      !known.has(name) &&
      !FOREIGN.has(name) &&
      !FOR_TESTS.test(name) &&
      !SERVICE_LINK.test(name),
  );
  const issues = unknown.map((name) => ({
    path: '',
    origin: name,
    message: `unknown variable${didYouMean(name, known)}`,
  }));
  return readTexts(
    settings,
    (name) => ({text: env[name.variable] === '' ? undefined : env[name.variable], origin: name.variable}),
    issues,
  );
}

interface Said {
  readonly text: string | boolean | undefined;
  readonly origin: string;
}

function readTexts(
  {settings, shorts: known}: KnownSettings,
  look: (name: {readonly flag: string; readonly variable: string}) => Said,
  unknown: readonly ConfigIssue[],
): TextLayer {
  const issues = [...unknown];
  const origins = new Map<string, string>();
  const tree: Record<string, unknown> = {};
  for (const setting of settings) {
    const said = [look(setting), ...known.filter(({alias}) => alias === setting.flag).map(look)].filter(
      ({text}) => text !== undefined,
    );
    const [first, second] = said;
    if (first?.text === undefined) continue;
    if (second !== undefined)
      issues.push({
        path: setting.key,
        origin: first.origin,
        message: `is the same as ${second.origin}: say one of them`,
      });
    origins.set(setting.key, first.origin);
    put(tree, setting.path, readText(setting.kind, first, setting.key, issues));
  }
  const shorts = readShorts(known, look, {issues, origins});
  return {tree, issues, shorts, origin: (path) => origins.get(longestKnown(origins, path)) ?? ''};
}

function readShorts(
  known: KnownSettings['shorts'],
  look: (name: {readonly flag: string; readonly variable: string}) => Said,
  {issues, origins}: {issues: ConfigIssue[]; origins: ReadonlyMap<string, string>},
): TextLayer['shorts'] {
  const shorts = new Map<string, {value: string | boolean; origin: string}>();
  for (const short of known.filter(({alias}) => alias === undefined)) {
    const said = look(short);
    if (said.text === undefined) continue;
    const value = readText(short.kind, said, short.flag, issues);
    if (typeof value === 'string' || typeof value === 'boolean') shorts.set(short.flag, {value, origin: said.origin});
    const list = short.list === undefined ? undefined : origins.get(short.list);
    if (list !== undefined)
      issues.push({path: '', origin: said.origin, message: `cannot be said together with ${list}`});
  }
  return shorts;
}

/** The value as the schema wants it, or the text as it is where it cannot be read: the schema then says what was expected. */
function readText(kind: Setting['kind'], {text, origin}: Said, path: string, issues: ConfigIssue[]): unknown {
  if (typeof text !== 'string') return text;
  if (kind === 'text') return text;
  if (kind === 'number') return /^\d{1,15}$/.test(text) ? Number(text) : text;
  if (kind === 'yaml') return readYaml(text, origin, path, issues);
  if (text === 'true' || text === '1') return true;
  if (text === 'false' || text === '0') return false;
  issues.push({path: path === origin ? '' : path, origin, message: 'expected true or false'});
  return undefined;
}

function readYaml(text: string, origin: string, path: string, issues: ConfigIssue[]): unknown {
  const document = parseDocument(text, {uniqueKeys: true, prettyErrors: false});
  const [error] = [...document.errors, ...document.warnings];
  if (error !== undefined) {
    issues.push({path, origin, message: `expected YAML or JSON such as [{host: ghcr.io}]: ${error.message}`});
    return undefined;
  }
  return document.toJS({maxAliasCount: 100});
}

function put(tree: Record<string, unknown>, path: readonly string[], value: unknown): void {
  const [name = '', ...rest] = path;
  if (value === undefined) return;
  if (rest.length === 0) tree[name] = value;
  else put((tree[name] ??= {}) as Record<string, unknown>, rest, value); // only this function writes to it
}

function longestKnown(origins: ReadonlyMap<string, string>, path: readonly (string | number)[]): string {
  for (let length = path.length; length > 0; length--) {
    const key = path.slice(0, length).join('.');
    if (origins.has(key)) return key;
  }
  return '';
}
