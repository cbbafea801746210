import assert from 'node:assert/strict';
import {randomBytes} from 'node:crypto';
import {readdir} from 'node:fs/promises';
import {join} from 'node:path';
import {test} from 'node:test';
import {setTimeout as delay} from 'node:timers/promises';
import {digestOf} from '../../oci/digest.ts';
import {ALICE, HostedRig} from '../hosted-rig.ts';
import {poll} from '../poll.ts';
import {describe, PushClient, type PushedImage} from '../push-client.ts';
import {assertWhole} from '../whole-pull.ts';

// Issue 7, 3: SIGKILL at every step of push, of tag moves and of collection. What was acknowledged is there afterwards,
// what is visible is whole, the same push goes through, and all room comes back.

const REPOSITORY = 'team/app';
const EXPIRY_MS = 1_500;
const KIB = 1 << 10;

/** What a registry must still have: what it acknowledged, and nobody asked it to remove. */
interface Acknowledged {
  /** `undefined`: removed. What is being done when it dies is at either. */
  tag: {readonly is: PushedImage | undefined; readonly orIs?: PushedImage | undefined};
  readonly images: Set<PushedImage>;
}

const CONFIG = randomBytes(300);
const LAYERS = [randomBytes(300 * KIB), randomBytes(200 * KIB)] as const;
const SIGNATURE = randomBytes(100);

/** Pushes, moves, refers, deletes, collects. @param known what is acknowledged on the way. */
async function live(registry: HostedRig, known: Acknowledged): Promise<void> {
  const client = new PushClient(registry);
  const chunkBytes = 100 * KIB;
  const first = await client.image(REPOSITORY, undefined, [CONFIG, LAYERS[0]], {chunkBytes});
  known.images.add(first);
  known.tag = {is: undefined, orIs: first};
  await put(client, first);
  known.tag = {is: first};
  const second = await client.image(REPOSITORY, undefined, [CONFIG, LAYERS[1]], {chunkBytes});
  known.images.add(second);
  known.tag = {is: first, orIs: second};
  await put(client, second);
  known.tag = {is: second};
  const subject = describe(second.manifest);
  const referrer = await client.image(REPOSITORY, undefined, [CONFIG, SIGNATURE], {more: {subject}});
  known.images.add(referrer);
  known.images.delete(first); // whatever becomes of the request
  await client.send(202, 'DELETE', `${REPOSITORY}/manifests/${first.digest}`);
  await registry.agent.noost('gc');
  known.images.delete(referrer);
  await client.send(202, 'DELETE', `${REPOSITORY}/manifests/${referrer.digest}`);
  known.tag = {is: second, orIs: undefined};
  await client.send(202, 'DELETE', `${REPOSITORY}/manifests/main`);
  known.tag = {is: undefined};
  known.images.delete(second);
  await client.send(202, 'DELETE', `${REPOSITORY}/manifests/${second.digest}`);
  await registry.agent.noost('gc');
}

async function put(client: PushClient, {manifest}: PushedImage): Promise<void> {
  const headers = {'content-type': 'application/vnd.oci.image.manifest.v1+json'};
  await client.send(201, 'PUT', `${REPOSITORY}/manifests/main`, {body: manifest, headers});
}

async function assertKept(registry: HostedRig, {tag, images}: Acknowledged): Promise<void> {
  const client = new PushClient(registry);
  for (const image of images) await client.assertPulls(REPOSITORY, image.digest, image);
  const now = await registry.send(ALICE, 'GET', `${REPOSITORY}/manifests/main`);
  const allowed = [tag.is, ...('orIs' in tag ? [tag.orIs] : [])].map((image) => image?.digest);
  const found = now.status === 404 ? undefined : digestOf(Buffer.from(await now.arrayBuffer()));
  assert.ok(allowed.includes(found), `the tag is ${found}, and not one of ${allowed.join(', ')}`);
  // What is visible is whole, acknowledged or not.
  for (const bytes of [CONFIG, ...LAYERS, SIGNATURE]) {
    const blob = await registry.send(ALICE, 'GET', `${REPOSITORY}/blobs/${digestOf(bytes)}`);
    assert.ok([200, 404].includes(blob.status));
    if (blob.status === 200) assert.equal(digestOf(Buffer.from(await blob.arrayBuffer())), digestOf(bytes));
  }
  await assertWhole(registry.agent.dataDir);
}

for (const [point, passes] of [
  ['hosted.upload.append', [1, 5]],
  ['hosted.upload.hashed', [2]],
  ['hosted.upload.durable', [1, 3]],
  ['hosted.upload.renamed', [1, 3]],
  ['hosted.upload.indexed', [2]],
  ['hosted.link.marked', [1, 2, 4]],
  ['hosted.refer.marked', [1]],
  ['hosted.manifest.written', [1, 3]],
  ['hosted.manifest.renamed', [1, 2]],
  ['hosted.tag.written', [1, 2]],
  ['hosted.tag.renamed', [1, 2]],
  ['hosted.unmanifest.removed', [1, 2]],
  ['hosted.unrefer.removed', [1]],
  ['hosted.collect.unlinked', [1, 2]],
  ['hosted.unlink.removed', [1]],
  ['hosted.released', [1, 4]],
  ['hosted.untag.written', [1]],
  ['hosted.untag.renamed', [1]],
  ['hosted.untag.removed', [1]],
] as const)
  for (const pass of passes)
    test(
      `killed at ${point}, pass ${pass}: what was acknowledged is there, and all room comes back`,
      {timeout: 120_000},
      async () => {
        await using registry = await HostedRig.start({
          hosted: {uploadExpiry: `${EXPIRY_MS}ms`},
          agent: {env: {NOOST_FAULT: `${point}=kill@${pass}`}},
        });
        const known: Acknowledged = {tag: {is: undefined}, images: new Set()};
        await assert.rejects(live(registry, known));
        assert.equal(await registry.agent.ended(), 'SIGKILL', 'the fault struck');
        await registry.agent.restart({env: {NOOST_FAULT: ''}});
        await assertKept(registry, known);
        await live(registry, {tag: {is: undefined}, images: new Set()});
        await assertEmpties(registry);
      },
    );

/** Once the push that was cut off has expired, collection leaves nothing. */
async function assertEmpties(registry: HostedRig): Promise<void> {
  const {dataDir} = registry.agent;
  await delay(EXPIRY_MS);
  await poll('nothing is left', async () => {
    await registry.agent.noost('gc');
    return (await assertWhole(dataDir)) === 0 && (await readdir(join(dataDir, 'hosted', 'uploads'))).length === 0;
  });
  assert.deepEqual(await readdir(join(dataDir, 'hosted', 'suspects')), []);
}
