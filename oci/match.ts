import type {RepositoryName} from './source.ts';

/**
 * The configured upstream for a repository: by host and longest path prefix, at the borders of components;
 * `*` stands for all others (design §3).
 * @param upstreams hosts as `parseRegistry` spells them, with an optional `/path-prefix`.
 */
export function matchUpstream<T extends {readonly host: string}>(
  upstreams: readonly T[],
  {registry, repository}: RepositoryName,
): T | undefined {
  const full = `${registry}/${repository}/`;
  let best: T | undefined;
  for (const upstream of upstreams) {
    if (
      upstream.host !== '*' &&
      full.startsWith(`${upstream.host}/`) &&
      upstream.host.length > (best?.host.length ?? 0)
    )
      best = upstream;
  }
  return best ?? upstreams.find(({host}) => host === '*');
}
