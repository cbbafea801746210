import {readFile} from 'node:fs/promises';
import {parse, stringify} from 'yaml';
import {isJson, type Json} from '../policy/read-object.ts';
import {BOUNDS} from '../policy/object-schema.ts';
import {API_VERSION, type ImageMatch, type Rule} from '../policy/shape.ts';
import {validatePolicyObject} from '../policy/validate.ts';
import {ObjectsError} from './read-objects.ts';

/** One prefix of Trow's, and what it becomes. */
interface Translated {
  readonly prefix: string;
  readonly matches: readonly ImageMatch[];
}

const HEAD = `# From the image_validation of a configuration of Trow's.
#
# Trow compared texts: the longest prefix that an image's name began with decided, wherever it ended. So "quay.io" also
# allowed quay.io.evil.example, and "docker.io/library/ubuntu" also ubuntu-evil. Here what is allowed ends where names end:
# at the registry, at a component of the repository, at the tag. What is denied is taken as widely as Trow took it within a
# registry, at each of its ports, but is not another registry whose name begins alike; and it beats what is allowed.
# Ephemeral containers, image volumes and changes of a running pod, which Trow did not see, are judged as well; kube-system
# is left out.
`;

/**
 * Policies that do what Trow's \`image_validation\` did, and are safe where it was not. As YAML with comments that say
 * each difference. @throws {ObjectsError} for what is no such configuration, or a prefix that nothing safe stands for.
 */
export async function fromTrow(path: string): Promise<string> {
  const text = await readFile(path, 'utf8').catch((error: unknown) => {
    throw new ObjectsError(`${path}: ${(error as Error).message}`, {cause: error});
  });
  return translate(path, section(path, text));
}

interface TrowSection {
  readonly isDeny: boolean;
  readonly allow: readonly string[];
  readonly deny: readonly string[];
}

function section(path: string, text: string): TrowSection {
  let root: unknown;
  try {
    root = parse(text, {maxAliasCount: 100});
  } catch (error) {
    throw new ObjectsError(`${path}: ${(error as Error).message.split('\n', 1)[0] ?? ''}`, {cause: error});
  }
  const found = isJson(root) ? root['image_validation'] : undefined;
  if (!isJson(found))
    throw new ObjectsError(
      `${path}: there is no image_validation; Trow refused every pod then, as a ClusterImagePolicy without rules does`,
    );
  return {
    isDeny: found['default'] !== 'Allow', // any other text meant Deny
    allow: texts(path, found, 'allow'),
    deny: texts(path, found, 'deny'),
  };
}

function texts(path: string, found: Json, key: string): readonly string[] {
  const list = found[key] ?? [];
  if (!Array.isArray(list) || !list.every((one) => typeof one === 'string'))
    throw new ObjectsError(`${path}: image_validation.${key}: expected a list of prefixes`);
  return [...new Set(list as string[])];
}

function translate(path: string, {isDeny, ...said}: TrowSection): string {
  const notes: string[] = [];
  // What repeats the default says nothing, and as a Deny rule would beat the Allow rules below it.
  const deny = isDeny ? said.deny.filter((one) => said.allow.some((allowed) => one.startsWith(allowed))) : said.deny;
  const allow = isDeny ? said.allow : said.allow.filter((one) => said.deny.some((denied) => one.startsWith(denied)));
  const denied = deny.map((prefix) => matchOf(path, `deny: ${prefix}`, prefix, 'Deny'));
  const allowed = allow.map((prefix) => matchOf(path, `allow: ${prefix}`, prefix, 'Allow'));
  for (const {prefix} of allowed) {
    const wider = deny
      .filter((one) => prefix !== one && prefix.startsWith(one))
      .toSorted((a, b) => b.length - a.length)[0];
    if (wider !== undefined)
      notes.push(
        `Trow allowed ${prefix} although it denied ${wider}. Here a Deny rule beats every Allow: what is under ${wider} is refused.\n` +
          `# To keep it, write the Deny rule more narrowly.`,
      );
  }
  const rules: Rule[] = [...rulesOf('allowed', 'Allow', allowed), ...rulesOf('denied', 'Deny', denied)];
  const policy = {
    apiVersion: API_VERSION,
    kind: 'ClusterImagePolicy',
    metadata: {name: 'from-trow'},
    spec: {mode: 'Enforce', default: isDeny ? 'Deny' : 'Allow', ...(rules.length > 0 ? {rules} : {})},
  };
  const [issue] = validatePolicyObject(policy);
  if (issue !== undefined) throw new ObjectsError(`${path}: ${issue.path}: ${issue.message}`);
  const comments = notes.map((note) => `#\n# ${note}\n`).join('');
  return `${HEAD}${comments}${stringify(policy, {lineWidth: 0})}`;
}

/** As many rules as the matches need: a rule has room for so many. */
function rulesOf(name: string, action: 'Allow' | 'Deny', translated: readonly Translated[]): Rule[] {
  const all = translated.flatMap(({matches}) => matches);
  const count = Math.ceil(all.length / BOUNDS.matches);
  return Array.from({length: count}, (_, i) => ({
    name: count === 1 ? name : `${name}-${i + 1}`,
    match: all.slice(i * BOUNDS.matches, (i + 1) * BOUNDS.matches),
    action,
  }));
}

const REGISTRY = /^(?:localhost|[a-z0-9-]+(?:\.[a-z0-9-]+)+|\[[0-9a-f:]+\]|[a-z0-9-]+(?=:))(?::\d+)?$/i;

/** @throws {ObjectsError} for a prefix that ends in the middle of a registry's name. */
function matchOf(path: string, where: string, prefix: string, action: 'Allow' | 'Deny'): Translated {
  const slash = prefix.indexOf('/');
  const registry = slash === -1 ? prefix : prefix.slice(0, slash);
  const rest = slash === -1 ? '' : prefix.slice(slash + 1);
  if (prefix === '') return {prefix, matches: [{registry: '*'}]};
  if (prefix.includes('*'))
    throw new ObjectsError(
      `${path}: image_validation.${where}: * was a character like others to Trow, and so matched no image; write the prefix without it, or take it out`,
    );
  if (!REGISTRY.test(registry) && !(slash === -1 && registry.endsWith('.')))
    throw new ObjectsError(
      `${path}: image_validation.${where}: ${JSON.stringify(registry)} is not a whole registry, so nothing safe can stand for it; write the registry in full`,
    );
  if (registry.endsWith('.'))
    throw new ObjectsError(
      `${path}: image_validation.${where}: ends in the middle of a registry's name; write the registry in full`,
    );
  const at = rest.indexOf('@');
  const named = at === -1 ? rest : rest.slice(0, at);
  const colon = named.indexOf(':');
  const repository = colon === -1 ? named : named.slice(0, colon);
  const tag = colon === -1 ? undefined : named.slice(colon + 1);
  // An address alone stood for all of its ports. Of names only the usual one is allowed.
  const isAddress = /^(?:localhost|[\d.]+|\[.*\])$/i.test(registry);
  const host = slash === -1 && action === 'Allow' && isAddress ? `${registry}:*` : registry;
  const isWhole = tag !== undefined || at !== -1;
  const more = {
    ...(tag === undefined || tag === '' ? {} : {tag: action === 'Deny' ? `${tag}*` : tag}),
    ...(at === -1 ? {} : {digest: rest.slice(at + 1)}),
  };
  const repositories = repository === '' ? [undefined] : repositoriesOf(host, repository, isWhole, action);
  return {prefix, matches: repositories.map((one) => ({registry: host, ...(one && {repository: one}), ...more}))};
}

/**
 * `library/` has all below it. `acme/app` is that repository and what is below it, and for Deny also all that begin so. At
 * Docker Hub one component alone is somebody's name: there is only what is below.
 */
function repositoriesOf(host: string, text: string, isWhole: boolean, action: 'Allow' | 'Deny'): string[] {
  if (isWhole) return [text];
  if (text.endsWith('/')) return [`${text}**`];
  const own = action === 'Deny' ? `${text}*` : text;
  return host === 'docker.io' && !text.includes('/') ? [`${own}/**`] : [own, `${own}/**`];
}
