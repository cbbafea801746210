import {randomBytes} from 'node:crypto';
import type {Driver} from '../agent/hosted/contract.ts';
import {digestOf, type Digest} from '../oci/digest.ts';

/** A driver of hosted images that a test may stop, and start again on what it has stored. */
export interface DriverUnderTest extends AsyncDisposable {
  driver: Driver;
  /** As if the process had been killed, and another one went on. */
  restart(): Promise<void>;
}

/** Makes a test of what a driver must do. */
export type Check = (what: string, work: (under: DriverUnderTest) => Promise<void>) => void;
export const REPOSITORY = 'team/app';

export function newDigest(): Digest {
  return digestOf(randomBytes(16));
}
