import {isIP} from 'node:net';
import ipaddr from 'ipaddr.js';
import {portOf} from './guard.ts';

export type ProxyEnv = Readonly<Record<string, string | undefined>>;

/**
 * The proxy for a URL by HTTPS_PROXY, HTTP_PROXY and NO_PROXY, in upper or lower case, as curl and Go read them:
 * NO_PROXY has hosts, `.suffixes`, `*.suffixes`, `host:port`, addresses, CIDR ranges or `*` (C-057).
 * @returns `undefined` for a direct connection. Loopback is always direct.
 */
export function proxyFor(url: URL, env: ProxyEnv): string | undefined {
  const proxy = url.protocol === 'https:' ? read(env, 'HTTPS_PROXY') : read(env, 'HTTP_PROXY');
  if (proxy === undefined || isExempt(url, read(env, 'NO_PROXY') ?? '')) return undefined;
  return proxy.includes('://') ? proxy : `http://${proxy}`;
}

function read(env: ProxyEnv, name: string): string | undefined {
  const value = env[name.toLowerCase()] ?? env[name];
  return value === undefined || value === '' ? undefined : value;
}

function isExempt(url: URL, list: string): boolean {
  const host = url.hostname.replace(/^\[|\]$/g, '').replace(/\.$/, '');
  if (host === 'localhost' || (isIP(host) !== 0 && ipaddr.parse(host).range() === 'loopback')) return true;
  return list.split(/[\s,]+/).some((entry) => entry !== '' && covers(entry.toLowerCase(), host, portOf(url)));
}

function covers(entry: string, host: string, port: number): boolean {
  if (entry === '*') return true;
  if (isIP(host) !== 0) return coversAddress(entry, host, port);
  const [, name = '', only] = /^\*?\.?([^:]+)(?::(\d+))?$/.exec(entry) ?? [];
  if (name === '' || (only !== undefined && Number(only) !== port)) return false;
  return host === name ? !entry.startsWith('.') && !entry.startsWith('*') : host.endsWith(`.${name}`);
}

function coversAddress(entry: string, host: string, port: number): boolean {
  const address = ipaddr.process(host);
  if (!entry.includes('/')) {
    const [, bare = '', only] = /^\[?([^\]]+?)\]?(?::(\d+))?$/.exec(entry) ?? [];
    const named = isIP(entry) !== 0 ? entry : bare;
    return (
      isIP(named) !== 0 &&
      ipaddr.process(named).toString() === address.toString() &&
      (named === entry || only === undefined || Number(only) === port)
    );
  }
  if (!ipaddr.isValidCIDR(entry)) return false;
  const [range, bits] = ipaddr.parseCIDR(entry);
  return range.kind() === address.kind() && address.match(range, bits);
}
