import assert from 'node:assert/strict';
import {createHash, randomBytes} from 'node:crypto';
import {statfs, writeFile} from 'node:fs/promises';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {test} from 'node:test';
import {setTimeout as delay} from 'node:timers/promises';
import {digestOf} from '../../oci/digest.ts';
import {OCI_MANIFEST} from '../../oci/media-type.ts';
import {Disk} from '../disk.ts';
import {ALICE, HostedRig} from '../hosted-rig.ts';
import {needs} from '../needs.ts';
import {codeOf, describe, PushClient, type PushedImage} from '../push-client.ts';

const MIB = 1 << 20;
interface Pushed {
  readonly repository: string;
  readonly tag: string;
  readonly image: PushedImage;
}

const OCTETS = {'content-type': 'application/octet-stream'};

test(
  '64 pushes at once that share layers, 1,000 tags, readers and collection all the while: every image pulls',
  {timeout: 300_000},
  async () => {
    await using registry = await HostedRig.start();
    const client = new PushClient(registry);
    const shared = Array.from({length: 6}, () => randomBytes(512 << 10));
    const done = new AbortController();
    const pushed: Pushed[] = [];
    const readers = [
      collectUntil(registry, done.signal),
      ...[1, 2, 3].map(() => readUntil(client, pushed, done.signal)),
    ];
    const small = await client.image('small', undefined, [randomBytes(20)]);
    const tags = Array.from({length: 1_000}, (_, i) => `t${String(i)}`);
    await Promise.all([
      ...Array.from({length: 64}, async (_, i) => {
        const layers = shared.filter((_, at) => (i >> (at % 3)) % 2 === 0 || at > 2);
        const [repository, tag] = [`team/app${String(i % 4)}`, `v${String(i)}`];
        pushed.push({repository, tag, image: await client.image(repository, tag, [randomBytes(200), ...layers])});
      }),
      ...Array.from({length: 8}, async () => {
        for (let tag = tags.pop(); tag !== undefined; tag = tags.pop())
          await client.send(201, 'PUT', `small/manifests/${tag}`, {
            body: small.manifest,
            headers: {'content-type': OCI_MANIFEST},
          });
      }),
    ]);
    for (const {repository, tag, image} of pushed) await client.assertPulls(repository, tag, image);
    done.abort();
    await Promise.all(readers);
    const list = (await (await client.send(200, 'GET', 'small/tags/list?n=1000')).json()) as {tags: string[]};
    assert.equal(list.tags.length, 1_000);
    assert.deepEqual(
      registry.agent.log.filter(({level}) => level === 'error'),
      [],
    );
  },
);

test(
  'pushes, deletions and collection of the same images at once: no push that is under way is undone',
  {timeout: 300_000},
  async () => {
    await using registry = await HostedRig.start();
    const client = new PushClient(registry);
    const shared = randomBytes(5_000);
    const images = Array.from({length: 3}, () => [randomBytes(100), shared, randomBytes(2_000)] as const);
    const done = new AbortController();
    const deleted: string[] = [];
    const collecting = collectUntil(registry, done.signal);
    await Promise.all(
      Array.from({length: 6}, async (_, worker) => {
        for (let i = 0; i < 25; i++) {
          const blobs = images[(worker + i) % images.length] ?? images[0];
          // As clients do: what is there is not sent.
          for (const bytes of blobs ?? []) {
            const there = await registry.send(ALICE, 'HEAD', `app/blobs/${digestOf(bytes)}`);
            if (there.status === 404) await client.blob('app', bytes);
          }
          const [config, ...layers] = (blobs ?? []).map(describe);
          const {digest} = await client.manifest('app', `t${String(worker)}`, {config, layers});
          const gone = await registry.send(ALICE, 'DELETE', `app/manifests/${digest}`);
          deleted.push(String(gone.status));
        }
      }),
    );
    done.abort();
    await collecting;
    // 404: another was first, which does not happen each time.
    assert.deepEqual(
      [...new Set(deleted)].filter((status) => status !== '404'),
      ['202'],
    );
    for (const blobs of images) await client.assertPulls('app', 'last', await client.image('app', 'last', [...blobs]));
    const {tags} = (await (await client.send(200, 'GET', 'app/tags/list')).json()) as {tags: string[]};
    for (const tag of tags) await client.send(200, 'GET', `app/manifests/${tag}`);
  },
);

async function collectUntil(registry: HostedRig, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    const isGone = await registry.agent.noost('gc').then(
      () => false,
      () => true,
    );
    if (isGone) return; // the test has failed, and says why
    await delay(50);
  }
}

async function readUntil(client: PushClient, pushed: readonly Pushed[], signal: AbortSignal): Promise<void> {
  for (let i = 0; !signal.aborted; i++) {
    const one = pushed[i % Math.max(1, pushed.length)];
    if (one === undefined) await delay(20);
    else await client.assertPulls(one.repository, one.tag, one.image);
  }
}

test(
  'a disk that fills up during a push: a clear error, pulls go on, and it goes on when there is room',
  {timeout: 120_000},
  async (t) => {
    if (!needs(t, 'root', 'mount', 'umount')) return;
    await using disk = await Disk.tmpfs(48);
    const config = {data: join(disk.folder, 'data'), cache: {minFreeDisk: '0%'}};
    await using registry = await HostedRig.start({config});
    const client = new PushClient(registry);
    const image = await client.image('app', 'v1', [randomBytes(100), randomBytes(4 * MIB)]);
    const large = randomBytes(60 * MIB);
    const location = (await client.send(202, 'POST', 'app/blobs/uploads/')).headers.get('location') ?? '';
    for (const [method, path] of [
      ['PATCH', location],
      ['POST', `app/blobs/uploads/?digest=${digestOf(large)}`],
    ] as const)
      assert.equal(await codeOf(await client.send(507, method, path, {body: large, headers: OCTETS})), 'UNAVAILABLE');
    await client.assertPulls('app', 'v1', image);
    await client.send(204, 'DELETE', location);
    await client.image('app', 'v2', [randomBytes(100), randomBytes(8 * MIB)]);
    // Full to the last byte, by somebody else.
    await writeFile(join(disk.folder, 'ballast'), randomBytes(64 * MIB)).catch(() => undefined);
    const refused = await client.blob('app', randomBytes(MIB)).catch((error: unknown) => (error as Error).cause);
    assert.equal(refused, 507);
    await client.assertPulls('app', 'v1', image);
    await writeFile(join(disk.folder, 'ballast'), '');
    await client.image('app', 'v3', [randomBytes(100), randomBytes(4 * MIB)]);
    await client.assertPulls('app', 'v1', image);
  },
);

test(
  'a layer of 5 GiB goes in and comes out, and the agent holds none of it in memory',
  {timeout: 540_000},
  async (t) => {
    const {bavail, bsize} = await statfs(tmpdir());
    if (bavail * bsize < 8 * 1024 * MIB) return t.skip('needs 8 GiB in the folder for temporary files');
    await using registry = await HostedRig.start();
    const client = new PushClient(registry);
    const hash = createHash('sha256');
    const piece = randomBytes(MIB);
    let most = 0;
    async function* layer(): AsyncGenerator<Buffer> {
      for (let i = 0; i < 5 * 1024; i++) {
        const next = Buffer.from(piece); // what was sent before may still be on its way
        next.writeUInt32BE(i);
        hash.update(next);
        yield next;
        if (i % 256 === 0) most = Math.max(most, (await registry.agent.usage()).residentBytes);
      }
    }
    const location = (await client.send(202, 'POST', 'app/blobs/uploads/')).headers.get('location') ?? '';
    await client.send(202, 'PATCH', location, {body: ReadableStream.from(layer()), duplex: 'half', headers: OCTETS});
    const digest = `sha256:${hash.digest('hex')}`;
    await client.send(201, 'PUT', `${location}?digest=${digest}`);
    const blob = await client.send(200, 'GET', `app/blobs/${digest}`);
    assert.equal(blob.headers.get('content-length'), String(5 * 1024 * MIB));
    const back = createHash('sha256');
    for await (const chunk of blob.body ?? []) back.update(chunk as Uint8Array);
    assert.equal(`sha256:${back.digest('hex')}`, digest);
    most = Math.max(most, (await registry.agent.usage()).residentBytes);
    assert.ok(most < 300 * MIB, `the agent had ${String(Math.round(most / MIB))} MiB`);
  },
);

for (const point of [
  'hosted.upload.append',
  'hosted.upload.durable',
  'hosted.upload.renamed',
  'hosted.link.marked',
  'hosted.manifest.written',
  'hosted.tag.written',
])
  test(`a disk that fails once at ${point}: 503, nothing half-done is visible, and the same push goes through`, async () => {
    await using registry = await HostedRig.start({agent: {env: {NOOST_FAULT: `${point}=EIO@1`}}});
    const client = new PushClient(registry);
    const blobs = [randomBytes(100), randomBytes(MIB)] as const;
    const status = await client.image('app', 'v1', blobs).catch((error: unknown) => (error as Error).cause);
    assert.equal(status, 503);
    await client.send(404, 'GET', 'app/manifests/v1');
    await client.assertPulls('app', 'v1', await client.image('app', 'v1', blobs));
    assert.deepEqual(
      registry.agent.log.filter(({level}) => level === 'error'),
      [],
    );
  });
