import ipaddr from 'ipaddr.js';

/**
 * What an address is to a guard against server-side request forgery (D-011). `forbidden`: link-local, cloud
 * metadata, multicast, broadcast, unspecified and everything that is not for unicast.
 */
export type AddressClass = 'public' | 'private' | 'loopback' | 'forbidden';

/** Of ipaddr.js's names for ranges, those that may be reached at all. */
const CLASSES: ReadonlyMap<string, AddressClass> = new Map([
  ['loopback', 'loopback'],
  ['private', 'private'],
  ['carrierGradeNat', 'private'],
  ['uniqueLocal', 'private'],
]);
/** Where clouds answer with a machine's own credentials, beside the link-local ones. */
const METADATA = new Set(['fd00:ec2::254', 'fd20:ce::254', '100.100.100.200', '168.63.129.16', '192.0.0.192']);
const NAT64: readonly [ipaddr.IPv6, number][] = [
  [ipaddr.IPv6.parse('64:ff9b::'), 96],
  [ipaddr.IPv6.parse('64:ff9b:1::'), 48],
];
const SIX_TO_FOUR: [ipaddr.IPv6, number] = [ipaddr.IPv6.parse('2002::'), 16];
const COMPATIBLE: [ipaddr.IPv6, number] = [ipaddr.IPv6.parse('::'), 96];
const GLOBAL: [ipaddr.IPv6, number] = [ipaddr.IPv6.parse('2000::'), 3];

/** Of an address in its plain notation, without brackets; IPv4 inside IPv6 is unwrapped (D-012). */
export function classifyAddress(address: string): AddressClass {
  if (!ipaddr.isValid(address) || address.includes('%')) return 'forbidden';
  const found = unwrap(ipaddr.parse(address));
  if (METADATA.has(found.toString())) return 'forbidden';
  const kind = found.range();
  if (kind === 'unicast') return found instanceof ipaddr.IPv6 && !found.match(GLOBAL) ? 'forbidden' : 'public';
  return CLASSES.get(kind) ?? 'forbidden';
}

/** Whether two addresses, in any notation of `classifyAddress`, are the same one. */
export function sameAddress(one: string, other: string): boolean {
  if (!ipaddr.isValid(one) || !ipaddr.isValid(other)) return false;
  return unwrap(ipaddr.parse(one)).toString() === unwrap(ipaddr.parse(other)).toString();
}

/** Addresses by their first bits. */
export type AddressRange = readonly [ipaddr.IPv4 | ipaddr.IPv6, number];

/** Reads `10.244.0.0/16` or `fd00:10:96::/112`. @throws {SyntaxError} */
export function parseRange(text: string): AddressRange {
  if (!ipaddr.isValidCIDR(text)) throw new SyntaxError('Not a range of addresses');
  return ipaddr.parseCIDR(text);
}

/** Whether an address, in any notation of `classifyAddress`, is in one of the ranges. */
export function isInRange(address: string, ranges: readonly AddressRange[]): boolean {
  if (ranges.length === 0 || !ipaddr.isValid(address)) return false;
  const found = unwrap(ipaddr.parse(address));
  return ranges.some(
    ([first, bits]) => found.kind() === first.kind() && found.match([first, bits] as [typeof found, number]),
  );
}

/** Whether a connection to the address stays on this machine by its form alone. */
export function isUnspecified(address: string): boolean {
  return ipaddr.isValid(address) && unwrap(ipaddr.parse(address)).range() === 'unspecified';
}

function unwrap(address: ipaddr.IPv4 | ipaddr.IPv6): ipaddr.IPv4 | ipaddr.IPv6 {
  if (address instanceof ipaddr.IPv4) return address;
  if (address.isIPv4MappedAddress()) return address.toIPv4Address();
  const bytes = address.toByteArray();
  if (NAT64.some((range) => address.match(range))) return new ipaddr.IPv4(bytes.slice(12));
  if (address.match(SIX_TO_FOUR)) return new ipaddr.IPv4(bytes.slice(2, 6));
  const isOwn = ['::', '::1'].includes(address.toString());
  return address.match(COMPATIBLE) && !isOwn ? new ipaddr.IPv4(bytes.slice(12)) : address;
}
