import {isIP, isIPv6} from 'node:net';

export interface SocketAddress {
  readonly host: string;
  readonly port: number;
}

/**
 * Reads `127.0.0.1:5055`, `[::1]:5055`, `localhost:5055` or `:5055` (every address). Names are refused: what one
 * listens on should not depend on a resolver. Port 0 is any free one.
 * @throws {SyntaxError}
 */
export function parseAddress(text: string): SocketAddress {
  const [, v6, other = '', digits = ''] = /^(?:\[([0-9a-fA-F:.]+)\]|([^:[\]]*)):(\d{1,5})$/.exec(text) ?? [];
  const port = Number(digits);
  if (digits === '' || port > 65_535) throw new SyntaxError('Not an address with a port');
  if (v6 !== undefined) return {host: canonicalIpv6(v6), port};
  const host = other === '' ? '::' : other === 'localhost' ? '127.0.0.1' : other;
  if (isIP(host) === 0) throw new SyntaxError('Not an IP address');
  return {host, port};
}

/** One spelling, so that addresses can be compared. */
function canonicalIpv6(text: string): string {
  if (!isIPv6(text)) throw new SyntaxError('Not an IPv6 address');
  return new URL(`http://[${text}]/`).hostname.slice(1, -1);
}

export function formatAddress({host, port}: SocketAddress): string {
  return `${isIPv6(host) ? `[${host}]` : host}:${String(port)}`;
}

/** Whether only this machine's processes can reach a listener at this host. */
export function isLoopback(host: string): boolean {
  return /^127(?:\.\d{1,3}){3}$/.test(host) || host === '::1';
}
