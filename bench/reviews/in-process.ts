import {setImmediate as turn} from 'node:timers/promises';
import {AdmissionRig} from '../../test/admission-rig.ts';
import {mutate} from '../../webhook/admission/mutate.ts';
import {readReview} from '../../webhook/admission/review.ts';
import {validate} from '../../webhook/admission/validate.ts';
import type {ExceptionObject, PolicyObject} from '../../webhook/policy/shape.ts';
import {percentiles, type Percentiles} from './percentile.ts';
import {IMAGES, newPod, newReview} from './review.ts';

const WARMING = 500;

/** What a review costs but for HTTP and TLS: reading its JSON, both passes over it one after the other, tags known. */
export async function inProcess(
  policies: readonly (PolicyObject | ExceptionObject)[],
  count: number,
): Promise<Percentiles> {
  await using rig = await AdmissionRig.start({policies});
  for (const image of IMAGES) rig.fake.content.addImage(/\/(.*):/.exec(image)?.[1] ?? '', 'v1');
  const context = {...rig.context, id: 'bench', signal: new AbortController().signal};
  const body = newReview(newPod(IMAGES), 'team-a');
  const took: number[] = [];
  for (let i = 0; i < Math.min(WARMING, count) + count; i++) {
    for (const pass of [mutate, validate]) {
      const from = performance.now();
      const {allowed} = await pass(readReview(JSON.parse(body)), context);
      if (i >= Math.min(WARMING, count)) took.push(performance.now() - from);
      if (!allowed) throw new Error('the bench expects to be admitted');
    }
    if (i % 50 === 0) await turn();
  }
  return percentiles(took);
}
