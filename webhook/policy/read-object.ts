import type {z} from 'zod';
import {compileMatch, PatternError, type Purpose} from './image-match.ts';
import {exceptionSpec, metadata, policySpec} from './object-schema.ts';
import {API_VERSION} from './shape.ts';
import type {ExceptionObject, ImageMatch, ObjectKind, PolicyIssue, PolicyObject, Rule} from './shape.ts';

/** A policy or an exception as it was read: `object` is there only if there are no issues. */
export interface ReadObject {
  readonly object: PolicyObject | ExceptionObject | undefined;
  readonly issues: readonly PolicyIssue[];
}

/** So many are told of; who writes more wrong than this reads no further. */
const MAX_ISSUES = 20;
/** Each is compiled, and asked of every image: one team's policies must not hold up the pods of others. */
const MAX_REGEXES = 32;
const REGEX = '.tag.regex';
const SIGNATURES = 'signatures are not supported in this version; a policy that asks for them would accept no image';

export type Json = Readonly<Record<string, unknown>>;

export function isJson(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

export function isObjectKind(kind: unknown): kind is ObjectKind {
  return kind === 'ClusterImagePolicy' || kind === 'ImagePolicy' || kind === 'ImagePolicyException';
}

/** Reads an object as the API has it, and everything in it that has to be compiled. */
export function readObject(raw: unknown): ReadObject {
  if (!isJson(raw)) return refused([{path: '', message: 'expected an object'}]);
  const {kind} = raw;
  if (!isObjectKind(kind)) {
    const message = 'expected ClusterImagePolicy, ImagePolicy or ImagePolicyException';
    return refused([{path: 'kind', message}]);
  }
  const issues = [...headIssues(raw, kind), ...issuesOf(schemaOf(kind).safeParse(raw['spec']), ['spec'])];
  if (issues.length > 0) return refused(issues);
  const object = raw as unknown as PolicyObject | ExceptionObject; // what the schemas just held
  const deeper = object.kind === 'ImagePolicyException' ? exceptionIssues(object) : policyIssues(object);
  return deeper.length === 0 ? {object, issues: []} : refused(deeper);
}

function refused(issues: readonly PolicyIssue[]): ReadObject {
  return {object: undefined, issues: issues.slice(0, MAX_ISSUES)};
}

function schemaOf(kind: ObjectKind): z.ZodType {
  return kind === 'ImagePolicyException' ? exceptionSpec : policySpec;
}

function headIssues(raw: Json, kind: ObjectKind): PolicyIssue[] {
  const issues = issuesOf(metadata.safeParse(raw['metadata']), ['metadata']);
  if (raw['apiVersion'] !== API_VERSION) issues.push({path: 'apiVersion', message: `expected ${API_VERSION}`});
  const namespace = isJson(raw['metadata']) ? raw['metadata']['namespace'] : undefined;
  if (kind === 'ImagePolicy' && namespace === undefined)
    issues.push({path: 'metadata.namespace', message: 'is missing: an ImagePolicy is for one namespace'});
  if (kind !== 'ImagePolicy' && namespace !== undefined)
    issues.push({path: 'metadata.namespace', message: `${kind} has no namespace`});
  return issues;
}

function issuesOf(result: z.ZodSafeParseResult<unknown>, base: readonly string[]): PolicyIssue[] {
  if (result.success) return [];
  return result.error.issues.flatMap((issue) => {
    const path = [...base, ...issue.path];
    if (issue.code !== 'unrecognized_keys') return [{path: fieldPath(path), message: issue.message}];
    const messages = issue.message.split('\n');
    return issue.keys.map((key, i) => ({path: fieldPath([...path, key]), message: messages[i] ?? 'unknown field'}));
  });
}

/** `spec.rules[0].match[1].registry`; keys that are no identifiers in quotes. */
export function fieldPath(steps: readonly PropertyKey[]): string {
  return steps.reduce<string>((path, step) => {
    if (typeof step === 'number') return `${path}[${step}]`;
    const key = String(step).slice(0, 80);
    if (!/^[\w-]+$/.test(key)) return `${path}[${JSON.stringify(key)}]`;
    return path === '' ? key : `${path}.${key}`;
  }, '');
}

function policyIssues({kind, spec}: PolicyObject): PolicyIssue[] {
  const rules = rulesIssues(spec.rules ?? []);
  if (kind === 'ClusterImagePolicy' || spec.namespaceSelector === undefined) return rules;
  const message = 'an ImagePolicy is for its own namespace; a ClusterImagePolicy selects namespaces';
  return [{path: 'spec.namespaceSelector', message}, ...rules];
}

function rulesIssues(rules: readonly Rule[]): PolicyIssue[] {
  const issues = tooManyRegexes(
    rules.flatMap(({match}) => match),
    'spec.rules',
  );
  for (const [i, rule] of rules.entries()) {
    // What is too large has cost much already: the first is told, the others are not compiled.
    if (issues.some(({path, message}) => path.endsWith(REGEX) || message === TOO_MANY)) break;
    issues.push(...ruleIssues(rule, fieldPath(['spec', 'rules', i])));
  }
  return issues;
}

const TOO_MANY = `more than ${MAX_REGEXES} matches with tag.regex; write one expression with | instead`;

function tooManyRegexes(matches: readonly ImageMatch[], path: string): PolicyIssue[] {
  const count = matches.filter(({tag}) => typeof tag === 'object').length;
  return count > MAX_REGEXES ? [{path, message: TOO_MANY}] : [];
}

function ruleIssues({match, action, require = {}}: Rule, path: string): PolicyIssue[] {
  const asked = Object.keys(require).filter((key) => key === 'signature' || key === 'signatures');
  return [
    ...asked.map((key) => ({path: `${path}.require.${key}`, message: SIGNATURES})),
    ...matchIssues(match, action === 'Allow' ? 'accept' : 'refuse', path),
  ];
}

function exceptionIssues({spec}: ExceptionObject): PolicyIssue[] {
  const time = parseTime(spec.expires);
  const expires =
    time === undefined ? [{path: 'spec.expires', message: 'expected a time such as 2026-12-31T00:00:00Z'}] : [];
  const tooMany = tooManyRegexes(spec.match, 'spec.match');
  return [...expires, ...(tooMany.length > 0 ? tooMany : matchIssues(spec.match, 'accept', 'spec'))];
}

function matchIssues(matches: readonly ImageMatch[], purpose: Purpose, path: string): PolicyIssue[] {
  const issues: PolicyIssue[] = [];
  for (const [i, match] of matches.entries()) {
    try {
      compileMatch(match, purpose);
    } catch (error) {
      if (!(error instanceof PatternError)) throw error;
      const issue = {path: `${path}.match[${i}].${error.part}`, message: error.message};
      issues.push(issue);
      if (issue.path.endsWith(REGEX)) break;
    }
  }
  return issues;
}

const RFC3339 =
  /^(\d{4})-(\d{2})-(\d{2})T(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d(?:\.\d{1,9})?(?:Z|[+-](?:[01]\d|2[0-3]):[0-5]\d)$/i;

/**
 * The instant of an RFC 3339 time.
 * @returns milliseconds since 1970; `undefined` for what is no time, such as February 30 or a leap second.
 */
export function parseTime(text: string): number | undefined {
  const [, year, month, day] = RFC3339.exec(text) ?? [];
  if (day === undefined) return undefined;
  const daysInMonth = new Date(Date.UTC(Number(year), Number(month), 0)).getUTCDate();
  if (Number(month) < 1 || Number(month) > 12 || Number(day) < 1 || Number(day) > daysInMonth) return undefined;
  const time = Date.parse(text.toUpperCase());
  return Number.isNaN(time) ? undefined : time;
}
