import type {X509Certificate} from 'node:crypto';
import type {Server} from 'node:tls';
import type {KubeLog} from '../../kube/log.ts';
import {isTrusted, isValidAt, type KeyPair} from './key-pair.ts';

export interface ServedCertificateOptions {
  readonly log: KubeLog;
  readonly nowMs: () => number;
  /** What the API server trusts for us at the moment; `undefined` if it was not told to call us. */
  readonly trusted: () => readonly (readonly X509Certificate[])[] | undefined;
  /** How long after a new CA is seen in the configurations every API server has seen it, too. @default 5000 */
  readonly settleMs?: number;
}

const SETTLE_MS = 5000;

/**
 * The certificate that the server answers with. A new one is served as soon as the API server trusts who made it, and not
 * before, as long as it trusts who made the old one: no handshake fails while a CA is replaced.
 */
export class ServedCertificate implements Disposable {
  readonly #options: ServedCertificateOptions;
  readonly #servers = new Set<Server>();
  #current: KeyPair | undefined;
  #offered: KeyPair | undefined;
  #timer: NodeJS.Timeout | undefined;
  /** What is served when the timer ends. */
  #settling: KeyPair | undefined;
  readonly #first = Promise.withResolvers<void>();

  constructor(options: ServedCertificateOptions) {
    this.#options = options;
  }

  get current(): KeyPair | undefined {
    return this.#current;
  }

  /** Resolves with the first certificate. */
  get available(): Promise<void> {
    return this.#first.promise;
  }

  /** The server answers new handshakes with the certificate, now and whenever it changes; open connections go on. */
  attach(server: Server): void {
    this.#servers.add(server);
    server.once('close', () => this.#servers.delete(server));
    if (this.#current) setContext(server, this.#current);
  }

  offer(pair: KeyPair): void {
    if (pair.cert === this.#offered?.cert && pair.key === this.#offered.key) return;
    this.#offered = pair;
    this.recheck();
  }

  /** The API server may trust something else now. */
  recheck(): void {
    const offered = this.#offered;
    if (!offered || offered === this.#current) return;
    const current = this.#current;
    if (!current || !this.#serves(current)) return this.#serve(offered);
    if (!this.#serves(offered)) return this.#unsettle();
    const bundles = this.#options.trusted() ?? [];
    // Made by a CA that is trusted for long: nothing to wait for.
    const isSameAuthority = bundles.some((bundle) =>
      bundle.some((root) => isTrusted(current, [root]) && isTrusted(offered, [root])),
    );
    if (isSameAuthority) return this.#serve(offered);
    if (this.#settling === offered) return; // whatever else has changed
    this.#unsettle();
    this.#settling = offered;
    this.#timer = setTimeout(() => this.#serve(offered), this.#options.settleMs ?? SETTLE_MS);
    this.#timer.unref();
  }

  [Symbol.dispose](): void {
    this.#unsettle();
  }

  #unsettle(): void {
    clearTimeout(this.#timer);
    this.#settling = undefined;
  }

  #serves(pair: KeyPair): boolean {
    const bundles = this.#options.trusted();
    return isValidAt(pair, this.#options.nowMs()) && (bundles ?? []).every((bundle) => isTrusted(pair, bundle));
  }

  #serve(pair: KeyPair): void {
    this.#unsettle();
    this.#current = pair;
    for (const server of this.#servers) setContext(server, pair);
    this.#options.log.info('the certificate is served', {
      serial: pair.leaf.serialNumber,
      notAfter: new Date(pair.notAfterMs).toISOString(),
    });
    this.#first.resolve();
  }
}

function setContext(server: Server, {cert, key}: KeyPair): void {
  server.setSecureContext({cert, key, minVersion: 'TLSv1.2'});
}
