import assert from 'node:assert/strict';
import {randomBytes} from 'node:crypto';
import {after, before, test} from 'node:test';
import {digestOf, type Digest} from '../../oci/digest.ts';
import {OCI_INDEX} from '../../oci/media-type.ts';
import {ALICE, HostedRig} from '../hosted-rig.ts';
import {PushClient, type PushedImage} from '../push-client.ts';

let registry: HostedRig;
let alice: PushClient;
before(async () => {
  registry = await HostedRig.start({hosted: {immutableTags: ['frozen:*']}});
  alice = new PushClient(registry);
});
after(async () => registry[Symbol.asyncDispose]());

const newImage = async (tag: string | undefined, more: object = {}): Promise<PushedImage> =>
  alice.image('app', tag, [randomBytes(30), randomBytes(3_000)], {more});
const asManifest = (image: PushedImage): object => ({
  mediaType: 'application/vnd.oci.image.manifest.v1+json',
  digest: image.digest,
  size: image.manifest.length,
});

/** What `noost gc --untagged` says of `app`. */
async function collect(age: string, ...more: string[]): Promise<readonly Digest[]> {
  const text = await registry.agent.noost('gc', '--untagged', age, '--json', ...more);
  const {untagged} = JSON.parse(text) as {untagged: {repository: string; digest: Digest}[]};
  return untagged
    .filter(({repository}) => repository === 'app')
    .map(({digest}) => digest)
    .toSorted();
}

test('what no tag, no index and nothing that is kept names goes by gc --untagged, with what refers to it', async () => {
  const old = await newImage('v1');
  const oldSignature = await newImage(undefined, {subject: asManifest(old), artifactType: 'test/signature'});
  const oldAttestation = await newImage(undefined, {subject: asManifest(oldSignature), artifactType: 'test/x'});
  const current = await newImage('v1');
  const signature = await newImage(undefined, {subject: asManifest(current), artifactType: 'test/signature'});
  const [amd64, arm64] = [await newImage(undefined), await newImage(undefined)];
  const index = Buffer.from(
    JSON.stringify({schemaVersion: 2, mediaType: OCI_INDEX, manifests: [amd64, arm64].map(asManifest)}),
  );
  await alice.send(201, 'PUT', 'app/manifests/multi', {body: index, headers: {'content-type': OCI_INDEX}});
  const orphan = await newImage(undefined, {subject: {...asManifest(old), digest: digestOf(randomBytes(9))}});
  const expected = [old, oldSignature, oldAttestation, orphan].map(({digest}) => digest).toSorted();

  assert.deepEqual(await collect('1h'), [], 'all of it is young');
  assert.deepEqual(await collect('0s', '--dry-run'), expected);
  await alice.assertPulls('app', old.digest, old);
  assert.deepEqual(await collect('0s'), expected);
  for (const image of [old, oldSignature, oldAttestation, orphan]) {
    await alice.send(404, 'GET', `app/manifests/${image.digest}`);
    for (const bytes of image.blobs) await alice.send(404, 'GET', `app/blobs/${digestOf(bytes)}`);
  }
  for (const image of [current, signature, amd64, arm64]) await alice.assertPulls('app', image.digest, image);
  const {manifests} = (await (await alice.send(200, 'GET', `app/referrers/${current.digest}`)).json()) as {
    manifests: {digest: string}[];
  };
  assert.deepEqual(
    manifests.map(({digest}) => digest),
    [signature.digest],
  );
  const deleted = registry.audit.filter(({who}) => who === 'noost gc').map(({digest}) => String(digest));
  assert.deepEqual(deleted.toSorted(), expected);
});

test('pushes that name it again meanwhile win, or are told', {timeout: 120_000}, async () => {
  const base = [randomBytes(30), randomBytes(3_000)] as const;
  const image = await alice.image('race', undefined, [...base]);
  const index = Buffer.from(JSON.stringify({schemaVersion: 2, mediaType: OCI_INDEX, manifests: [asManifest(image)]}));
  const ended = new AbortController();
  const collecting = (async () => {
    while (!ended.signal.aborted) await registry.agent.noost('gc', '--untagged', '0s');
  })();
  try {
    for (let i = 0; i < 60; i++) {
      await alice.image('race', undefined, [...base]);
      const put = await registry.send(ALICE, 'PUT', 'race/manifests/multi', {
        body: index,
        headers: {'content-type': OCI_INDEX},
      });
      // 201 is a promise: it is whole.
      if (put.status === 201) await alice.assertPulls('race', image.digest, {...image, blobs: [...base]});
      else assert.equal(put.status, 404, await put.text());
      await registry.send(ALICE, 'DELETE', 'race/manifests/multi');
    }
  } finally {
    ended.abort();
    await collecting;
  }
});

test('a tag that was removed counts from then on, and immutable tags keep what they need', async () => {
  const image = await newImage('gone');
  await alice.send(202, 'DELETE', 'app/manifests/gone');
  assert.deepEqual(await collect('1h'), []);
  assert.deepEqual(await collect('0s'), [image.digest]);
  const frozen = await alice.image('frozen', 'v1', [randomBytes(10)]);
  await registry.agent.noost('gc', '--untagged', '0s');
  await alice.assertPulls('frozen', 'v1', frozen);
});
