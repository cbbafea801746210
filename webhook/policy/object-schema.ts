import {z} from 'zod';
import {didYouMean} from '../../proc/nearest.ts';

/** The most of each that a policy may have: the CRDs hold the same bounds, which keep their CEL rules cheap. */
export const BOUNDS = {rules: 64, matches: 64, serviceAccounts: 64, policies: 64, labels: 32, values: 64} as const;

/** An object with these fields and no other; what a typing error would lose is refused instead. */
function fields<T extends z.core.$ZodShape>(shape: T) {
  return z.strictObject(shape, {
    error: (issue) => {
      if (issue.code !== 'unrecognized_keys') return issue.input === undefined ? 'is missing' : 'expected an object';
      return (issue['keys'] as string[]).map((key) => `unknown field${didYouMean(key, Object.keys(shape))}`).join('\n');
    },
  });
}

function text(what: string, pattern: RegExp, maxLength: number) {
  const error = (issue: {readonly input?: unknown}) =>
    issue.input === undefined ? `is missing: expected ${what}` : `expected ${what}`;
  return z
    .string({error})
    .max(maxLength, {error: `longer than ${maxLength} characters`, abort: true}) // no pattern looks at what is longer
    .regex(pattern, {error});
}

function list<T extends z.ZodType>(item: T, maxItems: number) {
  return z
    .array(item, {error: (issue) => (issue.input === undefined ? 'is missing: expected a list' : 'expected a list')})
    .max(maxItems, {error: `more than ${maxItems}`});
}

function oneOf<const T extends readonly string[]>(values: T) {
  return z.enum(values, {
    error: (issue) => `${issue.input === undefined ? 'is missing: ' : ''}expected ${values.join(' or ')}`,
  });
}

const NAME = /^[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?$/;
const LABEL_KEY = /^(?:[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?\/)?[A-Za-z0-9](?:[A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?$/;
const LABEL_VALUE = /^(?:[A-Za-z0-9](?:[A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?)?$/;
const ANY = /^/;

const labelKey = text("a label's key", LABEL_KEY, 317);
const labelValue = text("a label's value", LABEL_VALUE, 63);

const requirement = fields({
  key: labelKey,
  operator: oneOf(['In', 'NotIn', 'Exists', 'DoesNotExist']),
  values: list(labelValue, BOUNDS.values).optional(),
}).superRefine(({operator, values = []}, context) => {
  const wanted = operator === 'In' || operator === 'NotIn';
  if (wanted === values.length > 0) return;
  const message = wanted ? `${operator} needs at least one value` : `${operator} takes no values`;
  context.addIssue({code: 'custom', path: ['values'], message});
});

/** Not a record of zod's: that passes over a key `__proto__`, and a selector by it would quietly select nothing. */
const labels = z
  .custom<Readonly<Record<string, string>>>(
    (value) => typeof value === 'object' && value !== null && !Array.isArray(value),
    {error: 'expected labels and their values', abort: true},
  )
  .superRefine((given, context) => {
    const entries = Object.entries(given);
    if (entries.length > BOUNDS.labels)
      return context.addIssue({code: 'custom', message: `more than ${BOUNDS.labels}`});
    for (const [key, value] of entries) {
      const wrong = labelKey.safeParse(key).error ?? labelValue.safeParse(value).error;
      if (wrong !== undefined)
        context.addIssue({code: 'custom', path: [key], message: wrong.issues[0]?.message ?? 'expected a label'});
    }
  });

export const selectorSchema = fields({
  matchLabels: labels.optional(),
  matchExpressions: list(requirement, BOUNDS.labels).optional(),
});

const tagSchema = z.union(
  [text('a tag, with * for any characters', ANY, 128), fields({regex: text('an RE2 expression', /^./s, 256)})],
  {
    error: (issue) => {
      const {input} = issue;
      if (typeof input === 'string') return 'longer than 128 characters';
      return 'expected a tag, with * for any characters, or {regex: an RE2 expression of up to 256 characters}';
    },
  },
);

const match = fields({
  registry: text('a registry: host, host:port, *.domain or *', /^./s, 262).optional(),
  repository: text('a repository, with * and **', /^./s, 255).optional(),
  tag: tagSchema.optional(),
  digest: text('a digest', /^./s, 135).optional(),
}).refine((parts) => Object.values(parts).some((part) => part !== undefined), {
  error: 'names no part of an image; for every image write registry: "*"',
});

const matches = list(match, BOUNDS.matches).min(1, {error: 'expected at least one match'});

const rule = fields({
  name: text('a name of a-z 0-9 and -', /^[a-z0-9](?:[a-z0-9-]*[a-z0-9])?$/, 63),
  match: matches,
  action: oneOf(['Allow', 'Deny']),
  require: fields({
    digest: z.boolean({error: 'expected true or false'}).optional(),
    // Their places in a later version; compile.ts refuses them.
    signature: z.unknown().optional(),
    signatures: z.unknown().optional(),
  }).optional(),
  message: text('one line of text', /^[^\p{Cc}\p{Cf}\p{Zl}\p{Zp}]+$/u, 256).optional(),
}).superRefine(({action, require, message}, context) => {
  if (action === 'Deny' && require !== undefined)
    context.addIssue({
      code: 'custom',
      path: ['require'],
      message: 'a Deny rule has no requirements; use an Allow rule',
    });
  if (action === 'Allow' && message !== undefined)
    context.addIssue({code: 'custom', path: ['message'], message: 'only a Deny rule has a message'});
});

/** The parts of a policy that say for which pods it is and how it acts: read one by one where the rest is broken. */
export const SCOPE = {
  mode: oneOf(['Enforce', 'Warn', 'Audit']).optional(),
  namespaceSelector: selectorSchema.optional(),
  podSelector: selectorSchema.optional(),
  serviceAccounts: list(
    text('a name of a service account, with * for any characters', /^[a-z0-9.*-]+$/, 253),
    BOUNDS.serviceAccounts,
  )
    .min(1, {error: 'expected at least one; leave the field out for all'})
    .optional(),
} as const;

export const policySpec = fields({
  ...SCOPE,
  default: oneOf(['Allow', 'Deny']).optional(),
  rules: list(rule, BOUNDS.rules).optional(),
}).superRefine(({rules = []}, context) => {
  for (const [i, {name}] of rules.entries())
    if (rules.findIndex((other) => other.name === name) < i)
      context.addIssue({code: 'custom', path: ['rules', i, 'name'], message: `another rule is called ${name}`});
});

export const exceptionSpec = fields({
  policies: list(
    text(
      "a ClusterImagePolicy's name, or namespace/name of an ImagePolicy",
      /^[a-z0-9][a-z0-9.-]*(?:\/[a-z0-9][a-z0-9.-]*)?$/,
      317,
    ),
    BOUNDS.policies,
  ).min(1, {error: 'expected at least one policy'}),
  match: matches,
  expires: text('a time such as 2026-12-31T00:00:00Z', ANY, 40),
  reason: text('why, on one line', /^[^\p{Cc}\p{Cf}\p{Zl}\p{Zp}]*\S[^\p{Cc}\p{Cf}\p{Zl}\p{Zp}]*$/u, 256),
  owner: text('who answers for it, on one line', /^[^\p{Cc}\p{Cf}\p{Zl}\p{Zp}]*\S[^\p{Cc}\p{Cf}\p{Zl}\p{Zp}]*$/u, 128),
});

export const metadata = z.object({
  name: text('a name', NAME, 253),
  namespace: text('a namespace', NAME, 63).optional(),
  uid: z.string().optional(),
  resourceVersion: z.string().optional(),
  generation: z.number().optional(),
});
