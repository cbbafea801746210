import assert from 'node:assert/strict';
import {randomBytes} from 'node:crypto';
import {test} from 'node:test';
import {digestOf} from '../../oci/digest.ts';
import {ALICE, BOB, HostedRig} from '../hosted-rig.ts';
import {describe, PushClient} from '../push-client.ts';

for (const [who, other] of [
  ['another user', BOB],
  ['the same user', ALICE],
] as const)
  test(`a push that is under way keeps its blobs whatever ${who} tags, deletes and collects`, async () => {
    await using registry = await HostedRig.start();
    const alice = new PushClient(registry, ALICE);
    const second = new PushClient(registry, other);
    const [config, shared, own] = [randomBytes(50), randomBytes(5_000), randomBytes(3_000)];
    const old = await alice.image('app', 'v1', [config, shared]);
    // Under way: what is there was found, what is not was sent.
    for (const bytes of [config, shared]) await alice.send(200, 'HEAD', `app/blobs/${digestOf(bytes)}`);
    await alice.blob('app', own);
    // Other tags and other annotations, and then all of them go.
    const headers = {'content-type': 'application/vnd.oci.image.manifest.v1+json'};
    await second.send(201, 'PUT', 'app/manifests/v2', {body: old.manifest, headers});
    const layers = {config: describe(config), layers: [describe(shared)]};
    const changed = await second.manifest('app', 'v3', {...layers, annotations: {a: 'b'}});
    for (const {digest} of [old, changed]) await second.send(202, 'DELETE', `app/manifests/${digest}`);
    await registry.agent.noost('gc');
    const image = {config: describe(config), layers: [describe(shared), describe(own)]};
    const pushed = {...(await alice.manifest('app', 'v4', image)), blobs: [config, shared, own]};
    await alice.assertPulls('app', 'v4', pushed);
  });

test('what was pushed twice and deleted is collected at once', async () => {
  await using registry = await HostedRig.start();
  const alice = new PushClient(registry);
  const blobs = [randomBytes(50), randomBytes(5_000)] as const;
  const image = await alice.image('app', 'v1', [...blobs]);
  for (const bytes of blobs) await alice.send(200, 'HEAD', `app/blobs/${digestOf(bytes)}`);
  const [config, ...layers] = blobs.map(describe);
  await alice.manifest('app', 'v2', {config, layers});
  await alice.send(202, 'DELETE', `app/manifests/${image.digest}`);
  await registry.agent.noost('gc');
  for (const bytes of blobs)
    assert.equal((await registry.send(ALICE, 'HEAD', `app/blobs/${digestOf(bytes)}`)).status, 404);
});
