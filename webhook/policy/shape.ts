// The words of the policy engine. Pure: no network, no clock but the argument.
// - compile.ts   compilePolicies(objects, {ownNamespace}): {set: PolicySet, problems: PolicyProblem[]}
// - judge.ts     judge(set, question, nowMs): Verdict
// - validate.ts  validatePolicyObject(raw): PolicyIssue[]
// - images-of.ts podOf(object), imagesOf(part)
// - denial.ts    what kubectl shows: denialMessage(verdict, decisionId), warningsOf(verdict)

import type {ImageIdentity} from '../../oci/image-reference.ts';
import type {Digest} from '../../oci/digest.ts';

export const GROUP = 'noost.dev';
export const API_VERSION = `${GROUP}/v1alpha1`;
export type PolicyKind = 'ClusterImagePolicy' | 'ImagePolicy';
export type ObjectKind = PolicyKind | 'ImagePolicyException';

/** What a policy does with an image that it does not accept. */
export type Mode = 'Enforce' | 'Warn' | 'Audit';
export type Action = 'Allow' | 'Deny';

export interface Metadata {
  readonly name: string;
  /** Of an ImagePolicy. */
  readonly namespace?: string;
  readonly uid?: string;
  readonly resourceVersion?: string;
  readonly generation?: number;
}

/** Kubernetes' LabelSelector: all of both must hold; an empty one selects all. */
export interface LabelSelector {
  readonly matchLabels?: Readonly<Record<string, string>>;
  readonly matchExpressions?: readonly LabelRequirement[];
}

export interface LabelRequirement {
  readonly key: string;
  readonly operator: 'In' | 'NotIn' | 'Exists' | 'DoesNotExist';
  readonly values?: readonly string[];
}

/** Images by their parts; a part that is not given matches all, but one must be given. */
export interface ImageMatch {
  /** `host`, `host:port`, `host:*`, `*.domain` (its subdomains, at label borders), or `*`. */
  readonly registry?: string;
  /** `*` within a segment, `**` for segments. */
  readonly repository?: string;
  readonly tag?: string | {readonly regex: string};
  readonly digest?: string;
}

export interface Requirements {
  readonly digest?: boolean;
  /** Not in this version: a policy that asks for it accepts nothing. */
  readonly signature?: unknown;
  readonly signatures?: unknown;
}

export interface Rule {
  readonly name: string;
  /** Any of these. */
  readonly match: readonly ImageMatch[];
  readonly action: Action;
  readonly require?: Requirements;
  /** Told to whom a Deny rule hits. */
  readonly message?: string;
}

export interface PolicySpec {
  readonly mode?: Mode;
  /** ClusterImagePolicy only. Not given: every namespace but kube-system and Noost's own. */
  readonly namespaceSelector?: LabelSelector;
  readonly podSelector?: LabelSelector;
  /** Globs over the names of service accounts. */
  readonly serviceAccounts?: readonly string[];
  readonly default?: Action;
  readonly rules?: readonly Rule[];
}

export interface PolicyObject {
  readonly apiVersion: typeof API_VERSION;
  readonly kind: PolicyKind;
  readonly metadata: Metadata;
  readonly spec: PolicySpec;
}

export interface ExceptionSpec {
  /** ClusterImagePolicies by name, ImagePolicies as `namespace/name`. */
  readonly policies: readonly string[];
  readonly match: readonly ImageMatch[];
  /** RFC 3339. From this instant on the exception has no effect. */
  readonly expires: string;
  readonly reason: string;
  readonly owner: string;
}

export interface ExceptionObject {
  readonly apiVersion: typeof API_VERSION;
  readonly kind: 'ImagePolicyException';
  readonly metadata: Metadata;
  readonly spec: ExceptionSpec;
}

/** What is wrong with a policy or an exception: `spec.rules[0].match[1].registry`, and what to do. */
export interface PolicyIssue {
  readonly path: string;
  readonly message: string;
}

/** An object that could not be compiled. A policy among them accepts nothing; an exception excepts nothing. */
export interface PolicyProblem {
  readonly kind: string;
  /** `name`, or `namespace/name`. */
  readonly name: string;
  readonly issues: readonly PolicyIssue[];
}

/** Where an image-bearing field is. */
export type ImageField = 'container' | 'initContainer' | 'ephemeralContainer' | 'imageVolume';

/** A field of an object that names an image. */
export interface ImageInObject {
  /** As people write it: `spec.containers[0].image`. */
  readonly path: string;
  /** The same as a JSON pointer (RFC 6901), for patches. */
  readonly pointer: string;
  readonly field: ImageField;
  /** Of the container or the volume. */
  readonly name: string;
  /** The reference as it stands there; empty if there is none. */
  readonly written: string;
  /** As it stands there. */
  readonly pullPolicy: string | undefined;
}

/** What asking the registry gave. */
export type Resolution =
  | {readonly found: true; readonly digest: Digest; readonly cached: boolean}
  | {readonly found: false; readonly why: string};

/** An image that is to be judged. */
export interface ImageInQuestion extends ImageInObject {
  /**
   * The canonical upstream identity (rewriting reversed), or why there is none: then no policy accepts the image.
   * What pins must keep the tag, also the `latest` that nobody wrote: rules on tags are asked again afterwards.
   */
  readonly identity: ImageIdentity | {readonly unreadable: string};
  /**
   * What its tag is at the registry, as far as somebody asked. Without it, or where it is another digest than the
   * identity's, a tag beside a digest proves nothing: no Allow rule and no exception is met by that tag.
   */
  readonly resolution: Resolution | undefined;
}

/** Whose images they are: what policies select by. */
export interface Subject {
  readonly namespace: string;
  readonly namespaceLabels: Readonly<Record<string, string>>;
  readonly podLabels: Readonly<Record<string, string>>;
  /** `default` if the pod names none. */
  readonly serviceAccount: string;
}

export interface Question {
  readonly subject: Subject;
  readonly images: readonly ImageInQuestion[];
}

/** Why a policy accepts an image or does not: one list for messages, logs, metrics and audit. */
export const REASONS = {
  'allowed-by-rule': true,
  'allowed-by-default': true,
  excepted: true,
  'denied-by-rule': false,
  'denied-by-default': false,
  'digest-missing': false,
  'tag-unproven': false,
  'reference-unreadable': false,
  'signature-unsupported': false,
  'policy-broken': false,
} as const;
export type Reason = keyof typeof REASONS;

export interface PolicyName {
  readonly kind: PolicyKind;
  /** `name`, or `namespace/name`. */
  readonly name: string;
}

/** What one policy says to one image. */
export interface Outcome {
  readonly policy: PolicyName;
  readonly mode: Mode;
  readonly accepts: boolean;
  readonly reason: Reason;
  /** The rule that decided; `undefined` where none did. */
  readonly rule: string | undefined;
  /** The exception's name, where `reason` is `excepted`. */
  readonly exception: string | undefined;
  /** A sentence without a full stop: the rule's own message, or what was found. Empty where the policy accepts. */
  readonly message: string;
  /** What to do about it. Empty where the policy accepts. */
  readonly fix: string;
}

export interface ImageVerdict {
  readonly image: ImageInQuestion;
  /** No policy that enforces refuses it. */
  readonly allowed: boolean;
  /** One of each policy that applies, by kind and name. */
  readonly outcomes: readonly Outcome[];
}

export interface Verdict {
  /** Every image is. */
  readonly allowed: boolean;
  /** In the question's order. */
  readonly images: readonly ImageVerdict[];
}
