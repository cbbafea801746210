import {isRepository} from '../../oci/reference.ts';
import type {Action} from './caller.ts';

/** What a token allows: as in its `access` claim. `registry` `catalog` `*` is the list of repositories. */
export interface Grant {
  readonly type: 'repository' | 'registry';
  readonly name: string;
  readonly actions: readonly (Action | '*')[];
}

/** One push mounts from a few repositories; a token has to fit into a header. */
const MAX_SCOPES = 32;
const ACTIONS: readonly Action[] = ['pull', 'push', 'delete'];
const CATALOG: Grant = {type: 'registry', name: 'catalog', actions: ['*']};

/**
 * Reads the scopes of a request for a token. What is not understood is not granted, and no error: clients ask for more than
 * they need.
 * @see https://distribution.github.io/distribution/spec/auth/scope/
 */
export function parseScopes(texts: readonly string[]): readonly Grant[] {
  /** Repository → actions. */
  const wanted = new Map<string, Set<Action>>();
  let catalog = false;
  for (const scope of texts.flatMap((text) => text.split(' ')).slice(0, MAX_SCOPES)) {
    catalog ||= scope === 'registry:catalog:*';
    const [, name = '', listed = ''] = /^repository(?:\([a-z0-9]+\))?:(.+):([a-z,*]+)$/.exec(scope) ?? [];
    if (!isRepository(name)) continue;
    const actions = listed.split(',');
    const known = ACTIONS.filter((action) => actions.includes(action) || actions.includes('*'));
    wanted.set(name, new Set([...(wanted.get(name) ?? []), ...known]));
  }
  const repositories = [...wanted].map(([name, actions]): Grant => ({
    type: 'repository',
    name,
    actions: ACTIONS.filter((one) => actions.has(one)),
  }));
  return [...repositories, ...(catalog ? [CATALOG] : [])];
}

/** As a challenge says it. The names have been validated: nothing in them could end the quoted string (D-036). */
export function formatScopes(grants: readonly Grant[]): string {
  return grants.map(({type, name, actions}) => `${type}:${name}:${actions.join(',')}`).join(' ');
}

export function repositoryScope(name: string, ...actions: readonly Action[]): Grant {
  return {type: 'repository', name, actions};
}

export const CATALOG_SCOPE = CATALOG;

/** Whether one of them allows this. */
export function isGranted(grants: readonly Grant[], action: Action, repository: string): boolean {
  return grants.some(
    ({type, name, actions}) => type === 'repository' && name === repository && actions.includes(action),
  );
}
