import {lookup as dnsLookup, type LookupAddress} from 'node:dns';
import {isIP, type LookupFunction} from 'node:net';
import {networkInterfaces} from 'node:os';
import {callbackify} from 'node:util';
import {
  classifyAddress,
  isInRange,
  isUnspecified,
  parseRange,
  sameAddress,
  type AddressClass,
  type AddressRange,
} from './address.ts';
import {Lookups, type Resolve} from './lookups.ts';

/** What led us to a host: its place in a request, for messages and the metric `ssrf_denied_total{where}`. */
export type Where = 'upstream' | 'redirect' | 'realm';

/** Which addresses a connection may go to. `anywhere` is for what an administrator wrote down. */
export interface Reach {
  readonly where: Where;
  readonly anywhere: boolean;
  readonly classes: readonly AddressClass[];
}

/** The guard said no. Nothing was sent. */
export class RefusedError extends Error {
  override readonly name = 'RefusedError';
  readonly where: Where;
  constructor(where: Where, message: string) {
    super(message);
    this.where = where;
  }
}

export interface OwnAddress {
  readonly host: string;
  readonly port: number;
}

const CLUSTER_NAMES = /(?:^|\.)(?:svc|cluster\.local|localhost|localdomain)$|\.svc\./;
const METADATA_NAMES = /^(?:metadata|instance-data)(?:\.|$)|(?:^|\.)kubernetes\.default$/;

/** Keeps requests from going where only this machine should be able to go (design §4.1, D-010…D-016). */
export class Guard {
  readonly #own: readonly OwnAddress[];
  readonly #resolve: Resolve;
  readonly #lookups: Lookups;
  readonly #denied: (where: Where) => void;
  readonly #deniedRanges: readonly AddressRange[];
  /** Hostname → class of what it last resolved to. Only of configured hosts, so bounded. */
  readonly #classes = new Map<string, AddressClass>();

  constructor(options: {
    own: readonly OwnAddress[];
    resolve?: Resolve | undefined;
    denied?: ((where: Where) => void) | undefined;
    /** The cluster's pods and services, say: not for what nobody configured, even where private addresses are. */
    deniedRanges?: readonly string[] | undefined;
  }) {
    this.#own = options.own;
    this.#resolve = options.resolve ?? resolveAll;
    this.#lookups = new Lookups(this.#resolve);
    this.#denied = options.denied ?? (() => {});
    this.#deniedRanges = (options.deniedRanges ?? []).map(parseRange);
  }

  /**
   * Checks what a URL says by itself; asks no DNS. Literal addresses are decided here, since a lookup is never
   * called for them.
   * @throws {RefusedError}
   */
  checkUrl(url: URL, reach: Reach): void {
    const host = unbracket(url.hostname);
    if (url.protocol !== 'http:' && url.protocol !== 'https:') this.#refuse(reach, 'only http and https are spoken');
    if (url.port === '0') this.#refuse(reach, 'there is no port 0');
    if (isIP(host) !== 0) this.#checkAddress(host, portOf(url), reach);
    else this.#checkName(host.toLowerCase().replace(/\.$/, ''), reach);
  }

  /** For `net.connect` and `tls.connect`: resolves once, checks every address, and connects to those only (D-013). */
  lookup(port: number, reach: Reach): LookupFunction {
    const checked = callbackify((hostname: string) => this.#resolveChecked(hostname, port, reach));
    return (hostname, options, callback) => {
      checked(hostname, (error, addresses) => {
        const [first] = addresses ?? [];
        if (error || !first) callback(error, '', 0);
        else if (options.all) callback(null, [...addresses]);
        else callback(null, first.address, first.family);
      });
    };
  }

  async #resolveChecked(hostname: string, port: number, reach: Reach): Promise<readonly LookupAddress[]> {
    const addresses = reach.anywhere ? await this.#resolve(hostname) : await this.#lookups.find(hostname);
    const [first] = addresses;
    if (!first) throw Object.assign(new Error('Name has no address'), {code: 'ENOTFOUND'});
    for (const {address} of addresses) this.#checkAddress(address, port, reach);
    if (reach.anywhere) this.#classes.set(hostname, classifyAddress(first.address));
    return addresses;
  }

  /** The class of a configured host's address; `undefined` until it was connected to, or behind a proxy. */
  classOf(url: URL): AddressClass | undefined {
    const host = unbracket(url.hostname);
    return isIP(host) === 0 ? this.#classes.get(host) : classifyAddress(host);
  }

  #checkName(name: string, reach: Reach): void {
    if (reach.anywhere) return;
    if (METADATA_NAMES.test(name)) this.#refuse(reach, 'the name is internal to the machine or the cluster');
    // Who may reach loopback or private addresses may use the names that such addresses have.
    if (reach.classes.includes('loopback')) return;
    if (CLUSTER_NAMES.test(name)) this.#refuse(reach, 'the name is internal to the machine or the cluster');
    if (!name.includes('.')) this.#refuse(reach, 'the name has a single label');
  }

  #checkAddress(address: string, port: number, reach: Reach): void {
    if (this.#isOwn(address, port)) this.#refuse(reach, 'the address is our own');
    if (reach.anywhere) return;
    if (isInRange(address, this.#deniedRanges)) this.#refuse(reach, 'the address is in a range that is denied');
    const kind = classifyAddress(address);
    if (!reach.classes.includes(kind))
      this.#refuse(reach, `the address is ${kind === 'forbidden' ? 'not for registries' : kind}`);
  }

  /** An unspecified address reaches this machine, whichever of the two sides has it. */
  #isOwn(address: string, port: number): boolean {
    return this.#own.some(({host, port: ownPort}) => {
      if (ownPort !== port) return false;
      const isHere = isUnspecified(address) || isLocal(address);
      return isUnspecified(host) ? isHere : sameAddress(host, address) || (isUnspecified(address) && isLocal(host));
    });
  }

  #refuse(reach: Reach, why: string): never {
    this.#denied(reach.where);
    throw new RefusedError(reach.where, `${reach.where} refused: ${why}`);
  }
}

export function portOf(url: URL): number {
  return url.port === '' ? (url.protocol === 'http:' ? 80 : 443) : Number(url.port);
}

function unbracket(hostname: string): string {
  return hostname.replace(/^\[|\]$/g, '');
}

function isLocal(address: string): boolean {
  if (classifyAddress(address) === 'loopback') return true;
  return Object.values(networkInterfaces()).some((list) => list?.some((own) => sameAddress(own.address, address)));
}

function resolveAll(hostname: string): Promise<LookupAddress[]> {
  return new Promise((resolve, reject) => {
    dnsLookup(hostname, {all: true}, (error, addresses) => (error ? reject(error) : resolve(addresses)));
  });
}
