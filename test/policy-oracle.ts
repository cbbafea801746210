import type {ImageIdentity} from '../oci/image-reference.ts';
import type {
  ExceptionObject,
  ImageInQuestion,
  ImageMatch,
  LabelSelector,
  PolicyObject,
  Subject,
} from '../webhook/policy/shape.ts';

// The policy engine a second time, written from docs/policies.md alone and as plainly as can be: no compiling, no memory,
// regular expressions for globs. Only types are shared with the engine that it is compared with.

/** What every policy that applies says to an image: name → accepted. */
export type Opinion = Readonly<Record<string, boolean>>;

export function opinionOf(
  objects: readonly (PolicyObject | ExceptionObject)[],
  {
    subject,
    image,
    nowMs,
    ownNamespace,
  }: {subject: Subject; image: ImageInQuestion; nowMs: number; ownNamespace: string},
): Opinion {
  const opinion: Record<string, boolean> = {};
  for (const object of objects) {
    if (object.kind === 'ImagePolicyException' || !applies(object, subject, ownNamespace)) continue;
    const name =
      object.kind === 'ImagePolicy'
        ? `${object.metadata.namespace ?? ''}/${object.metadata.name}`
        : object.metadata.name;
    const isExcepted = objects.some(
      (one) =>
        one.kind === 'ImagePolicyException' &&
        one.spec.policies.includes(name) &&
        nowMs < Date.parse(one.spec.expires) &&
        one.spec.match.some((match) => meets(match, image, 'accept')),
    );
    opinion[`${object.kind} ${name}`] = isExcepted || accepts(object, image);
  }
  return opinion;
}

function applies({kind, metadata, spec}: PolicyObject, subject: Subject, ownNamespace: string): boolean {
  const {namespace, podLabels, serviceAccount} = subject;
  const labels = {...subject.namespaceLabels, 'kubernetes.io/metadata.name': namespace};
  if (namespace === ownNamespace) return false;
  if (kind === 'ImagePolicy' && metadata.namespace !== namespace) return false;
  if (kind === 'ClusterImagePolicy') {
    if (spec.namespaceSelector === undefined && namespace === 'kube-system') return false;
    if (spec.namespaceSelector !== undefined && !selects(spec.namespaceSelector, labels)) return false;
  }
  if (spec.podSelector !== undefined && !selects(spec.podSelector, podLabels)) return false;
  return spec.serviceAccounts === undefined || spec.serviceAccounts.some((one) => glob(one, '').test(serviceAccount));
}

function selects(
  {matchLabels = {}, matchExpressions = []}: LabelSelector,
  labels: Readonly<Record<string, string>>,
): boolean {
  const all = new Map(Object.entries(labels));
  for (const [key, value] of Object.entries(matchLabels)) if (all.get(key) !== value) return false;
  for (const {key, operator, values = []} of matchExpressions) {
    const value = all.get(key);
    if (operator === 'Exists' && value === undefined) return false;
    if (operator === 'DoesNotExist' && value !== undefined) return false;
    if (operator === 'In' && (value === undefined || !values.includes(value))) return false;
    if (operator === 'NotIn' && value !== undefined && values.includes(value)) return false;
  }
  return true;
}

function accepts({spec}: PolicyObject, image: ImageInQuestion): boolean {
  if ('unreadable' in image.identity) return false;
  const {digest} = image.identity;
  const rules = spec.rules ?? [];
  const isMet = (action: 'Allow' | 'Deny') =>
    rules.filter(
      (rule) =>
        rule.action === action &&
        rule.match.some((match) => meets(match, image, action === 'Allow' ? 'accept' : 'refuse')),
    );
  if (isMet('Deny').length > 0) return false;
  const allowing = isMet('Allow');
  if (allowing.length === 0) return spec.default === 'Allow';
  return allowing.every(({require}) => require?.digest !== true || digest !== undefined);
}

function meets(match: ImageMatch, {identity, resolution}: ImageInQuestion, purpose: 'accept' | 'refuse'): boolean {
  if ('unreadable' in identity) return false;
  const {registry, repository, tag, digest} = match;
  if (registry !== undefined && !isRegistry(registry, identity, purpose)) return false;
  if (repository !== undefined && !isRepository(repository, identity)) return false;
  if (digest !== undefined && identity.digest !== digest) return false;
  if (tag === undefined || tag === '*') return true;
  if (identity.tag === undefined) return false;
  const isProven =
    identity.digest === undefined || (resolution?.found === true && resolution.digest === identity.digest);
  if (purpose === 'accept' && !isProven) return false;
  return typeof tag === 'string'
    ? glob(tag, '').test(identity.tag)
    : new RegExp(`^(?:${tag.regex})$`).test(identity.tag);
}

function isRegistry(pattern: string, {registry}: ImageIdentity, purpose: 'accept' | 'refuse'): boolean {
  if (pattern === '*') return true;
  const [host = '', port = ''] = registry.split(':');
  const [wantedHost = '', wantedPort] = pattern.split(':');
  const isPort =
    wantedPort === '*' ||
    (wantedPort === undefined && purpose === 'refuse') ||
    (wantedPort ?? '').replace(/^443$/, '') === port;
  return isPort && (wantedHost.startsWith('*.') ? host.endsWith(wantedHost.slice(1)) : host === wantedHost);
}

function isRepository(pattern: string, {registry, repository}: ImageIdentity): boolean {
  if (pattern === '**') return true;
  const whole = registry === 'docker.io' && !pattern.includes('/') ? `library/${pattern}` : pattern;
  return glob(whole, '/').test(repository);
}

/** `*` stands for characters but the separator; `**` for segments, and at the end for one at least. */
function glob(pattern: string, separator: '' | '/'): RegExp {
  const one = separator === '' ? '.*' : '[^/]*';
  const segments = separator === '' ? [pattern] : pattern.split('/');
  let source = '';
  for (const [i, segment] of segments.entries()) {
    const isLast = i === segments.length - 1;
    if (separator === '/' && segment === '**') source += isLast ? '[^/]+(?:/[^/]+)*' : '(?:[^/]+/)*';
    else source += segment.replaceAll(/[.+?^${}()|[\]\\]/g, '\\$&').replaceAll('*', one) + (isLast ? '' : '/');
  }
  return new RegExp(`^${source}$`, 's');
}
