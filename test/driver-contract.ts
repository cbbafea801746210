import {test} from 'node:test';
import {checkContent, checkUploads} from './driver-contract-content.ts';
import {checkLinks, checkManifests, checkTags} from './driver-contract-metadata.ts';
import type {Check, DriverUnderTest} from './driver-under-test.ts';

/** What every driver of hosted images does (design §7): one suite for all of them. */
export function registerDriverContract(name: string, open: () => Promise<DriverUnderTest>): void {
  const check: Check = (what, work) => {
    test(`${name}: ${what}`, async () => {
      await using under = await open();
      await work(under);
    });
  };
  checkTags(check);
  checkManifests(check);
  checkLinks(check);
  checkUploads(check);
  checkContent(check);
}
