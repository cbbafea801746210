import type {X509Certificate} from 'node:crypto';
import {readFile} from 'node:fs/promises';
import type {KubeLog} from '../../kube/log.ts';
import type {CertificateSource} from './certificate-source.ts';
import {isFor, isTrusted, readCertificates, readKeyPair, type KeyPair} from './key-pair.ts';
import {Wakeup} from './wakeup.ts';

export interface GivenCertificatesOptions {
  readonly certFile: string;
  readonly keyFile: string;
  readonly caFile: string;
  readonly names: readonly string[];
  readonly onChange: () => void;
  readonly log: KubeLog;
  /** @default 2000 */
  readonly everyMs?: number;
}

const EVERY_MS = 2000;
/** A mounted Secret arrives at the last replica within two minutes; its old CA is trusted for much longer than that. */
const PREVIOUS_MS = 86_400_000;
const MAX_PREVIOUS = 8;

/**
 * Certificates from files: somebody's own, or cert-manager's Secret, mounted. They are read again and again (a mounted
 * Secret is replaced by moving a link, which no watch of a file sees); half a change is waited out.
 */
export class GivenCertificates implements CertificateSource {
  readonly #options: GivenCertificatesOptions;
  readonly #stop = new AbortController();
  readonly #wakeup = new Wakeup();
  #pair: KeyPair | undefined;
  #authorities: readonly X509Certificate[] = [];
  #previous: readonly {readonly one: X509Certificate; readonly untilMs: number}[] = [];
  #problem: string | undefined = 'the certificate files were not read yet';
  #text = '';
  #running: Promise<void> | undefined;

  constructor(options: GivenCertificatesOptions) {
    this.#options = options;
  }

  get pair(): KeyPair | undefined {
    return this.#pair;
  }

  get bundle(): readonly X509Certificate[] {
    const kept = this.#previous.filter(({untilMs}) => untilMs > performance.now());
    return [...this.#authorities, ...kept.map(({one}) => one)];
  }

  get problem(): string | undefined {
    return this.#problem;
  }

  start(): void {
    this.#running ??= this.#run();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort(new Error('Stopped'));
    await this.#running;
  }

  async #run(): Promise<void> {
    const {signal} = this.#stop;
    const {log, everyMs = EVERY_MS} = this.#options;
    while (!signal.aborted) {
      try {
        await this.#read();
        this.#problem = undefined;
      } catch (error) {
        const problem = (error as Error).message;
        if (problem !== this.#problem)
          log.warn('the certificate files cannot be used; what was read before is', {reason: problem});
        this.#problem = problem;
      }
      await this.#wakeup.within(everyMs, signal);
    }
  }

  /** @throws {Error} naming the file. */
  async #read(): Promise<void> {
    const {certFile, keyFile, caFile, names, onChange, log} = this.#options;
    const [cert = '', key = '', ca = ''] = await Promise.all(
      [certFile, keyFile, caFile].map((file) => readFile(file, 'utf8')),
    );
    const text = `${cert}\n${key}\n${ca}`;
    if (text === this.#text) return;
    const pair = named(`${certFile} and ${keyFile}`, () => readKeyPair(cert, key));
    const authorities = named(caFile, () => readCertificates(ca));
    if (!isTrusted(pair, authorities)) throw new Error(`${certFile} was not made by a CA in ${caFile}`);
    if (!isFor(pair, names))
      throw new Error(`${certFile} is not for ${names.join(' and ')}, by which the API server calls`);
    this.#keepPrevious(authorities);
    [this.#pair, this.#authorities, this.#text] = [pair, authorities, text];
    log.info('certificates were read from files', {notAfter: new Date(pair.notAfterMs).toISOString()});
    onChange();
  }

  /** Other replicas may serve what the old CA made until the files have reached them, too. */
  #keepPrevious(authorities: readonly X509Certificate[]): void {
    const isGone = ({fingerprint256}: X509Certificate): boolean =>
      authorities.every((one) => one.fingerprint256 !== fingerprint256);
    const untilMs = performance.now() + PREVIOUS_MS;
    const gone = this.#authorities.filter(isGone).map((one) => ({one, untilMs}));
    this.#previous = [...gone, ...this.#previous.filter(({one}) => isGone(one))].slice(0, MAX_PREVIOUS);
  }
}

function named<T>(what: string, work: () => T): T {
  try {
    return work();
  } catch (error) {
    throw new Error(`${what}: ${(error as Error).message}`, {cause: error});
  }
}
