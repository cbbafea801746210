import {isIP} from 'node:net';

/** Token servers that belong to a registry of another domain: realm host → registry hosts (C-007, design §4.1). */
const KNOWN = new Map<string, readonly string[]>([
  ['auth.docker.io', ['docker.io', 'index.docker.io', 'registry-1.docker.io']],
  ['sso.redhat.com', ['registry.redhat.io', 'registry.access.redhat.com', 'registry.connect.redhat.com']],
  ['authn.nvidia.com', ['nvcr.io']],
  ['ghcr.io', ['lscr.io']],
]);

/**
 * Whether a token server may be sent the credentials of a registry: the same host, the same registrable domain, a
 * known pair, or one that is configured (C-007, D-105, D-121). Others are asked anonymously.
 * @param realms hosts or domains that an administrator added.
 */
export async function realmMayHaveCredentials(registry: URL, realm: URL, realms: readonly string[]): Promise<boolean> {
  if (realm.protocol !== 'https:' && realm.protocol !== registry.protocol) return false;
  const [from, to] = [plain(registry.hostname), plain(realm.hostname)];
  if (from === to || KNOWN.get(to)?.includes(from) === true) return true;
  if (realms.some((allowed) => coversHost(allowed.toLowerCase(), to, realm.host))) return true;
  if (isIP(unbracket(from)) !== 0 || isIP(unbracket(to)) !== 0) return false;
  // Loaded when it is first needed: the list of suffixes is megabytes, and most nodes never need it.
  const {getDomain} = await import('tldts');
  // Private suffixes too: two tenants of one hoster are two parties.
  const domain = getDomain(from, {allowPrivateDomains: true});
  return domain !== null && domain === getDomain(to, {allowPrivateDomains: true});
}

function coversHost(allowed: string, host: string, hostAndPort: string): boolean {
  return allowed === host || allowed === hostAndPort || (isIP(host) === 0 && host.endsWith(`.${allowed}`));
}

function plain(hostname: string): string {
  return hostname.toLowerCase().replace(/\.$/, '');
}

function unbracket(hostname: string): string {
  return hostname.replace(/^\[|\]$/g, '');
}
