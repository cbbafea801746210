import {readFile} from 'node:fs/promises';
import {getCACertificates} from 'node:tls';
import type {TlsSettings} from './upstream-settings.ts';

/** What `tls.connect` is told about trust. */
export interface TlsOptions {
  readonly ca?: string[];
  readonly cert?: string;
  readonly key?: string;
  readonly rejectUnauthorized: boolean;
}

export interface TlsChoice {
  readonly own: TlsOptions;
  /** `own` without the client's certificate. */
  readonly anonymous: TlsOptions;
  readonly other: TlsOptions;
  readonly stamp: string;
}

/** Certificates rotate: their files are read again after this long, when they are needed. */
const REREAD_MS = 60_000;

/** An upstream's TLS settings, read from its files. */
export class TlsFiles {
  readonly #settings: TlsSettings | undefined;
  readonly #now: () => number;
  #readAt = -Infinity;
  #held: Promise<TlsChoice> | undefined;

  constructor(settings: TlsSettings | undefined, now: () => number) {
    this.#settings = settings;
    this.#now = now;
  }

  /**
   * @returns for the upstream and its token server (`own`: the client's certificate, and verification as set, D-042),
   * for hosts it redirects to (`other`: always verified), and a stamp that changes when the files do.
   * @throws {Error} of the file system.
   */
  get(): Promise<TlsChoice> {
    if (!this.#held || this.#now() - this.#readAt > REREAD_MS) {
      this.#readAt = this.#now();
      this.#held = this.#read();
      this.#held.catch(() => (this.#held = undefined));
    }
    return this.#held;
  }

  async #read(): Promise<TlsChoice> {
    const {caFile, certFile, keyFile, insecureSkipVerify = false} = this.#settings ?? {};
    const [ca, cert, key] = await Promise.all([caFile, certFile, keyFile].map(readIfNamed));
    // Beside the usual roots: an upstream with its own CA may still redirect to a public CDN.
    const trust = ca === undefined ? {} : {ca: [...getCACertificates('default'), ca]};
    const anonymous = {...trust, rejectUnauthorized: !insecureSkipVerify};
    const own = {...anonymous, ...(cert === undefined ? {} : {cert}), ...(key === undefined ? {} : {key})};
    return {own, anonymous, other: {...trust, rejectUnauthorized: true}, stamp: JSON.stringify([ca, cert, key])};
  }
}

async function readIfNamed(file: string | undefined): Promise<string | undefined> {
  return file === undefined ? undefined : readFile(file, 'utf8');
}
