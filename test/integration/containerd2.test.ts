import assert from 'node:assert/strict';
import {mkdtempDisposable, readFile} from 'node:fs/promises';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {test, type TestContext} from 'node:test';
import {AgentRig} from '../agent-rig.ts';
import {needs} from '../needs.ts';
import {Cdn} from '../peers/cdn.ts';
import {CertificateAuthority} from '../peers/certificate-authority.ts';
import {Containerd} from '../peers/containerd.ts';
import {DockerRegistry} from '../peers/docker-registry.ts';
import {CONTAINERD_2} from '../peers/containerd2.ts';
import {goPrograms} from '../peers/go-program.ts';
import {makeImage, type Image} from '../peers/image.ts';
import {Machine} from '../peers/machine.ts';
import {seededLayer} from '../peers/sample-images.ts';
import {Skopeo} from '../peers/skopeo.ts';
import {poll} from '../poll.ts';

const HOST = 'registry.test';
const ADDRESS = '127.0.0.13';
const NAME = `${HOST}:5000`;
const LARGE = `${NAME}/team/large:v1`;
const LARGE_BYTES = 200 << 20;
/** Slow enough that something can happen to the agent while a layer is on its way. */
const SLOW_BYTES_PER_SECOND = 25 << 20;
/** Layers in ranges of 8 MiB, eight at one time: off in containerd by default, on where pulls are to be fast (B-038). */
const PARALLEL = `
[plugins."io.containerd.transfer.v1.local"]
max_concurrent_downloads = 8
concurrent_layer_fetch_buffer = 8388608
[[plugins."io.containerd.transfer.v1.local".unpack_config]]
platform = "linux"
snapshotter = "native"
`;

/** A registry that redirects blobs to a CDN, an agent and a containerd 2, on a machine of their own. */
interface Stage {
  readonly image: Image;
  readonly registry: DockerRegistry;
  readonly cdn: Cdn;
  readonly agent: AgentRig;
  readonly containerd: Containerd;
}

async function setUp(t: TestContext, stack: AsyncDisposableStack, bytesPerSecond?: number): Promise<Stage | undefined> {
  if (!needs(t, 'root', 'docker-registry', 'skopeo', 'nginx', 'openssl', 'ip', 'unshare')) return undefined;
  const programs = await goPrograms(t, CONTAINERD_2);
  if (programs === undefined) return undefined;
  const {path: folder} = stack.use(await mkdtempDisposable(join(tmpdir(), 'noost-containerd2-')));
  const storage = join(folder, 'storage');
  const image = await fillStorage(folder, storage);
  const ca = await CertificateAuthority.create(folder);
  const trust = await readFile(ca.certFile, 'utf8');
  const machine = stack.use(await Machine.start({folder, hosts: {[HOST]: ADDRESS}, trust}));
  const {inside} = machine;
  const pace = bytesPerSecond === undefined ? {} : {bytesPerSecond};
  const tls = await ca.issue(HOST, ADDRESS);
  const place = {...tls, host: HOST, address: ADDRESS};
  const cdn = stack.use(await Cdn.start(join(folder, 'cdn'), storage, {inside, tls: place, ...pace}));
  const options = {folder: join(folder, HOST), storage, tls, host: ADDRESS, port: 5000, inside, redirect: cdn.url};
  const registry = stack.use(await DockerRegistry.start(options));
  const upstreams = [{host: NAME, url: `https://${NAME}`, tls: {caFile: ca.certFile}}];
  const agent = stack.use(await AgentRig.start({config: {upstreams}, inside}));
  const containerd = stack.use(await Containerd.start(machine, folder, {programs, more: PARALLEL}));
  await containerd.useMirror(agent.url);
  return {image, registry, cdn, agent, containerd};
}

async function fillStorage(folder: string, storage: string): Promise<Image> {
  await using registry = await DockerRegistry.start({folder: join(folder, 'filling'), storage});
  const layers = [seededLayer('large', LARGE_BYTES, 'none'), seededLayer('small', 300_000)];
  const spec = {
    mediaTypes: 'oci',
    platforms: [{architecture: process.arch === 'arm64' ? 'arm64' : 'amd64', layers}],
  } as const;
  const image = await makeImage(join(folder, 'image'), spec);
  await new Skopeo(join(folder, 'skopeo')).push(image, `${registry.address}/team/large:v1`);
  return image;
}

/** Who asked the registry for blobs, each question as `agent <path>`. */
async function blobQuestions(registry: DockerRegistry): Promise<readonly string[]> {
  const entries = await registry.takeEntries();
  return entries
    .filter(({request}) => request.includes('/blobs/'))
    .map(({request, userAgent}) => `${userAgent.split('/')[0]} ${request}`)
    .toSorted();
}

/** Waits until some of the large layer has come through the agent. */
async function untilUnderWay({agent}: Stage, bytes: number): Promise<void> {
  await poll('the large layer is under way', async () => (await agent.metric('noost_upstream_bytes_total')) > bytes);
}

test('containerd 2 pulls in parallel ranges through the agent, which fetches each blob once', async (t) => {
  await using stack = new AsyncDisposableStack();
  const stage = await setUp(t, stack);
  if (stage === undefined) return;
  const {image, registry, agent, containerd} = stage;
  const wanted = image.blobs.map(({digest}) => `noost GET /v2/team/large/blobs/${digest}`).toSorted();
  await t.test('cold, by the transfer service', async () => {
    await containerd.pull(LARGE);
    assert.deepEqual(await blobQuestions(registry), wanted);
    const ranges = agent.log.filter((line) => line['status'] === 206);
    assert.ok(ranges.length >= LARGE_BYTES / (8 << 20), `${ranges.length} ranges`);
  });
  await t.test('warm, by the transfer service', async () => {
    await containerd.forget(LARGE);
    await containerd.pull(LARGE);
    assert.deepEqual(await blobQuestions(registry), []);
  });
  await t.test('warm, by the client', async () => {
    await containerd.forget(LARGE);
    await containerd.pull(LARGE, '--local', '--max-concurrent-downloads', '3');
    assert.deepEqual(await blobQuestions(registry), []);
  });
  await t.test('cold again, by the client', async () => {
    await agent.noost('rm', LARGE);
    await containerd.forget(LARGE);
    await containerd.pull(LARGE, '--local', '--max-concurrent-downloads', '3');
    assert.deepEqual(await blobQuestions(registry), wanted);
  });
});

for (const {what, signal, flags} of [
  {what: 'killed, in ranges', signal: 'SIGKILL', flags: []},
  {what: 'killed, in one piece', signal: 'SIGKILL', flags: ['--local']},
  {what: 'stopped, in ranges', signal: 'SIGTERM', flags: []},
] as const) {
  test(`containerd 2 ends a pull right whose agent is ${what}`, async (t) => {
    await using stack = new AsyncDisposableStack();
    const stage = await setUp(t, stack, SLOW_BYTES_PER_SECOND);
    if (stage === undefined) return;
    const {agent, containerd} = stage;
    const pulled = containerd.pull(LARGE, ...flags).catch((error: unknown) => {
      // containerd gives up a layer of which one range breaks, and has no other host for it: kubelet pulls again.
      if (what !== 'killed, in ranges') throw error;
      return containerd.pull(LARGE, ...flags);
    });
    await untilUnderWay(stage, LARGE_BYTES / 5);
    await agent.stop(signal);
    await pulled; // what is missing comes from the upstream, asked by containerd itself
    await containerd.forget(LARGE);
    // With the agent back it comes through it, from where it was.
    await agent.restart();
    await stage.registry.takeEntries();
    await containerd.pull(LARGE, ...flags);
    const asked = await blobQuestions(stage.registry);
    assert.ok(
      asked.every((question) => question.startsWith('noost ')),
      asked.join('\n'),
    );
    const fetched = await agent.metric('noost_upstream_bytes_total');
    t.diagnostic(`${fetched} bytes of ${LARGE_BYTES} fetched after the restart`);
    assert.ok(fetched < LARGE_BYTES, `${fetched} bytes fetched: what was there is kept`);
  });
}
