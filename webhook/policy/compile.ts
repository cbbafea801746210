import {compileMatch} from './image-match.ts';
import {SCOPE, selectorSchema} from './object-schema.ts';
import {closedPolicy, compilePolicy, type CompiledPolicy, type Scope} from './policy.ts';
import {PolicySet, type CompiledException} from './policy-set.ts';
import {isJson, isObjectKind, parseTime, readObject, type Json} from './read-object.ts';
import type {ExceptionObject, LabelSelector, PolicyKind, PolicyName, PolicyObject, PolicyProblem} from './shape.ts';

export interface Compiled {
  readonly set: PolicySet;
  /** One of each object that could not be compiled. */
  readonly problems: readonly PolicyProblem[];
}

/**
 * Compiles policies and exceptions as the API has them. What cannot be compiled fails closed: such a policy applies as
 * far as its scope can be read, else to all that it could be for, and accepts no image; such an exception has no effect.
 * @param options.ownNamespace where Noost runs: no policy applies there.
 */
export function compilePolicies(
  objects: readonly unknown[],
  {ownNamespace}: {readonly ownNamespace: string},
): Compiled {
  const policies: CompiledPolicy[] = [];
  const exceptions: CompiledException[] = [];
  const problems: PolicyProblem[] = [];
  for (const raw of objects) {
    const {policy, exception, problem} = compileOne(raw);
    if (policy !== undefined) policies.push(policy);
    if (exception !== undefined) exceptions.push(exception);
    if (problem !== undefined) problems.push(problem);
  }
  return {set: new PolicySet(policies, exceptions, ownNamespace), problems};
}

interface One {
  readonly policy?: CompiledPolicy;
  readonly exception?: CompiledException;
  readonly problem?: PolicyProblem;
}
/** Objects that were compiled before: of ten thousand, one that changes costs one. They are never written to. */
const known = new WeakMap<object, One>();

function compileOne(raw: unknown): One {
  if (!isJson(raw)) return compileAnew(raw);
  const before = known.get(raw);
  if (before !== undefined) return before;
  const one = compileAnew(raw);
  known.set(raw, one);
  return one;
}

function compileAnew(raw: unknown): One {
  const {object, issues} = readObject(raw);
  if (object === undefined) {
    const {kind, name} = headOf(raw);
    const problem = {kind, name, issues};
    return isPolicyKind(kind) ? {problem, policy: newClosed(isJson(raw) ? raw : {}, {kind, name})} : {problem};
  }
  if (object.kind === 'ImagePolicyException') return {exception: compileException(object)};
  return {policy: compilePolicy(object, nameOf(object))};
}

function isPolicyKind(kind: string): kind is PolicyKind {
  return isObjectKind(kind) && kind !== 'ImagePolicyException';
}

function nameOf({kind, metadata: {namespace, name}}: PolicyObject): PolicyName {
  return {kind, name: namespace === undefined ? name : `${namespace}/${name}`};
}

/** What can be read of an object that is wrong. */
function headOf(raw: unknown): {readonly kind: string; readonly name: string} {
  const {kind, metadata}: Json = isJson(raw) ? raw : {};
  const {name, namespace}: Json = isJson(metadata) ? metadata : {};
  const own = typeof name === 'string' ? name.slice(0, 253) : '?';
  return {
    kind: isObjectKind(kind) ? kind : 'unknown',
    name: typeof namespace === 'string' ? `${namespace.slice(0, 63)}/${own}` : own,
  };
}

function compileException({metadata: {name}, spec}: ExceptionObject): CompiledException {
  const matchers = spec.match.map((match) => compileMatch(match, 'accept'));
  return {
    name,
    policies: spec.policies,
    matches: (image, isVouched) => matchers.some((matches) => matches(image, isVouched)),
    expiresMs: parseTime(spec.expires) ?? Number.NEGATIVE_INFINITY, // readObject held it
  };
}

/** Each field of the scope counts as far as it is right by itself. */
function newClosed(raw: Json, name: PolicyName): CompiledPolicy {
  const {spec, metadata}: Json = raw;
  const given: Json = isJson(spec) ? spec : {};
  const namespace = isJson(metadata) ? metadata['namespace'] : undefined;
  const isNamespaced = name.kind === 'ImagePolicy' && typeof namespace === 'string';
  const scope: Scope = {
    namespace: isNamespaced ? namespace : undefined,
    namespaceSelector: name.kind === 'ImagePolicy' ? undefined : selectorIn(given['namespaceSelector']),
    podSelector: selectorIn(given['podSelector']),
    serviceAccounts: SCOPE.serviceAccounts.safeParse(given['serviceAccounts']).data,
  };
  const mode = SCOPE.mode.safeParse(given['mode']).data ?? 'Enforce';
  return closedPolicy(name, mode, scope, asksForSignatures(given));
}

function selectorIn(given: unknown): LabelSelector | undefined {
  return selectorSchema.safeParse(given).success ? (given as LabelSelector) : undefined; // what the schema just held
}

function asksForSignatures({rules}: Json): boolean {
  return (
    Array.isArray(rules) &&
    rules.some((rule: unknown) => {
      const require = isJson(rule) ? rule['require'] : undefined;
      return isJson(require) && ('signature' in require || 'signatures' in require);
    })
  );
}
