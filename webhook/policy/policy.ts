import type {ImageIdentity} from '../../oci/image-reference.ts';
import {compileMatch, type Matcher} from './image-match.ts';
import {REASONS} from './shape.ts';
import type {Action, LabelSelector, Mode, Outcome, PolicyName, PolicyObject, Reason, Rule} from './shape.ts';

/** A policy ready to be asked. */
export interface CompiledPolicy {
  readonly name: PolicyName;
  readonly mode: Mode;
  readonly scope: Scope;
  /**
   * What it says, exceptions aside.
   * @param image `undefined` for one whose reference cannot be read.
   */
  decide(image: ImageIdentity | undefined, isVouched: boolean): Outcome;
}

/** For which pods a policy is. */
export interface Scope {
  /** The one namespace of an ImagePolicy. */
  readonly namespace: string | undefined;
  /** Not given: every namespace but kube-system. */
  readonly namespaceSelector: LabelSelector | undefined;
  readonly podSelector: LabelSelector | undefined;
  readonly serviceAccounts: readonly string[] | undefined;
}

interface CompiledRule {
  readonly name: string;
  readonly matches: Matcher;
  readonly message: string | undefined;
  readonly needsDigest: boolean;
}

type NewOutcome = (reason: Reason, message?: string, fix?: string, rule?: string) => Outcome;

const OTHER_IMAGE = 'use an image that the policy allows, or ask its owner for an ImagePolicyException';

/** @param object without issues. */
export function compilePolicy(object: PolicyObject, name: PolicyName): CompiledPolicy {
  const {spec} = object;
  const mode = spec.mode ?? 'Enforce';
  const outcome = newOutcomes(name, mode);
  const {namespaceSelector, podSelector, serviceAccounts} = spec;
  return {
    name,
    mode,
    scope: {namespace: object.metadata.namespace, namespaceSelector, podSelector, serviceAccounts},
    decide: newDecision(
      compileRules(spec.rules ?? [], 'Deny'),
      compileRules(spec.rules ?? [], 'Allow'),
      spec.default ?? 'Deny',
      outcome,
    ),
  };
}

/** A policy that accepts nothing. */
export function closedPolicy(name: PolicyName, mode: Mode, scope: Scope, asksForSignatures: boolean): CompiledPolicy {
  const outcome = newOutcomes(name, mode);
  const says = asksForSignatures
    ? outcome(
        'signature-unsupported',
        'the policy asks for signatures, which this version cannot check',
        'the owner of the policy has to remove require.signatures from it',
      )
    : outcome(
        'policy-broken',
        'the policy has errors, and so accepts no image',
        `its owner finds them in: kubectl describe ${describe(name)}`,
      );
  return {name, mode, scope, decide: () => says};
}

function describe({kind, name}: PolicyName): string {
  const [namespace, own] = name.split('/');
  return own === undefined ? `${kind.toLowerCase()} ${name}` : `${kind.toLowerCase()} ${own} -n ${namespace}`;
}

/** Outcomes are made once for each policy and shared: what is special of an image stays with the image. */
function newOutcomes(policy: PolicyName, mode: Mode): NewOutcome {
  return (reason, message = '', fix = '', rule?) =>
    Object.freeze({policy, mode, accepts: REASONS[reason], reason, rule, exception: undefined, message, fix});
}

/** By name, so that the answer does not depend on the rules' order. */
function compileRules(rules: readonly Rule[], action: Action): CompiledRule[] {
  return rules
    .filter((rule) => rule.action === action)
    .toSorted((a, b) => (a.name < b.name ? -1 : 1))
    .map(({name, match, message, require}) => {
      const matchers = match.map((one) => compileMatch(one, action === 'Allow' ? 'accept' : 'refuse'));
      return {
        name,
        matches: (image, isVouched) => matchers.some((matches) => matches(image, isVouched)),
        message,
        needsDigest: require?.digest === true,
      };
    });
}

/** Deny beats allow; of all Allow rules that match the requirements hold; else the default. */
function newDecision(
  denials: readonly CompiledRule[],
  allowances: readonly CompiledRule[],
  fallback: Action,
  outcome: NewOutcome,
): CompiledPolicy['decide'] {
  const denied = outcomesOf(denials, ({name, message}) =>
    outcome('denied-by-rule', message ?? 'the rule denies this image', OTHER_IMAGE, name),
  );
  const allowed = outcomesOf(allowances, ({name}) => outcome('allowed-by-rule', '', '', name));
  const undigested = outcomesOf(allowances, ({name}) =>
    outcome(
      'digest-missing',
      'the rule allows it only by digest',
      'write the digest behind the tag: name:tag@sha256:…',
      name,
    ),
  );
  const unproven = outcomesOf(allowances, ({name}) =>
    outcome(
      'tag-unproven',
      'the rule allows the tag, but the digest beside it is not known to be what the registry has under that tag',
      'write the digest that the tag has now, or the tag alone',
      name,
    ),
  );
  const otherwise =
    fallback === 'Allow'
      ? outcome('allowed-by-default')
      : outcome('denied-by-default', 'no rule allows it', OTHER_IMAGE);
  const unreadable = outcome(
    'reference-unreadable',
    'the reference cannot be read without doubt',
    'write registry/repository:tag@digest',
  );
  return (image, isVouched) => {
    if (image === undefined) return unreadable;
    const denial = denials.find(({matches}) => matches(image, isVouched));
    if (denial !== undefined) return denied(denial);
    const matching = allowances.filter(({matches}) => matches(image, isVouched));
    const [first] = matching;
    if (first === undefined) {
      const almost =
        fallback === 'Allow' || isVouched ? undefined : allowances.find(({matches}) => matches(image, true));
      return almost === undefined ? otherwise : unproven(almost);
    }
    const failing = image.digest === undefined ? matching.find(({needsDigest}) => needsDigest) : undefined;
    return failing === undefined ? allowed(first) : undigested(failing);
  };
}

/** One outcome for each rule, made once. */
function outcomesOf(
  rules: readonly CompiledRule[],
  make: (rule: CompiledRule) => Outcome,
): (rule: CompiledRule) => Outcome {
  const made = new Map(rules.map((rule) => [rule, make(rule)]));
  return (rule) => made.get(rule) ?? make(rule);
}
