import assert from 'node:assert/strict';
import {test} from 'node:test';
import type {Digest} from '../../oci/digest.ts';
import {SILENT} from '../../kube/log.ts';
import {PODS} from '../../kube/resources.ts';
import {FakeKube} from '../../test/fake-kube.ts';
import {poll} from '../../test/poll.ts';
import {ImagesInUse} from './images-in-use.ts';

function digest(letter: string): Digest {
  return `sha256:${letter.repeat(64)}` as Digest; // the shape is right
}

function pod(name: string, spec: object, status: object = {}) {
  return {metadata: {name, namespace: 'a'}, spec, status};
}

function follow(fake: FakeKube) {
  const told: (readonly Digest[])[] = [];
  const client = fake.client();
  const images = new ImagesInUse({
    client,
    node: 'n1',
    protect: (digests) => {
      told.push(digests.toSorted());
      return Promise.resolve();
    },
    log: SILENT,
    settleMs: 1,
  });
  return {
    told,
    async [Symbol.asyncDispose]() {
      await images[Symbol.asyncDispose]();
      client[Symbol.dispose]();
    },
  };
}

test('what containers, volumes and the runtime name by digest is protected; a pod that is over protects nothing', async () => {
  await using fake = await FakeKube.start();
  const containers = [{image: `ghcr.io/a/app:1@${digest('a')}`}, {image: 'only/a-tag:1'}];
  const initContainers = [{image: `registry.example:5000/x@${digest('b')}`}];
  const volumes = [{image: {reference: `quay.io/data@${digest('c')}`}}, {emptyDir: {}}];
  const containerStatuses = [{imageID: `docker.io/only/a-tag@${digest('d')}`}, {imageID: digest('e')}, {imageID: ''}];
  fake.put(PODS, pod('one', {containers, initContainers, volumes}, {phase: 'Running', containerStatuses}));
  fake.put(PODS, pod('two', {containers: [{image: `x@${digest('f')}`}]}, {phase: 'Succeeded'}));
  await using followed = follow(fake);
  await poll('the first word', () => followed.told.length > 0);
  assert.deepEqual(followed.told.at(-1), ['a', 'b', 'c', 'd'].map(digest));
  assert.match(fake.requests[0] ?? '', /fieldSelector=spec\.nodeName%3Dn1/);
});

test('a pod that comes or goes changes what is protected', async () => {
  await using fake = await FakeKube.start();
  await using followed = follow(fake);
  await poll('nothing is in use', () => followed.told.at(-1)?.length === 0);
  fake.put(PODS, pod('one', {containers: [{image: `x@${digest('a')}`}]}));
  await poll('one is in use', () => followed.told.at(-1)?.[0] === digest('a'));
  fake.remove(PODS, 'one', 'a');
  await poll('none is in use', () => followed.told.at(-1)?.length === 0);
});
