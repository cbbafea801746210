import assert from 'node:assert/strict';
import {mkdir, mkdtempDisposable, readFile, writeFile} from 'node:fs/promises';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {test, type TestContext} from 'node:test';
import {AgentRig} from '../agent-rig.ts';
import {FakeRegistry} from '../fake-registry.ts';
import {needs} from '../needs.ts';
import {DockerRegistry} from '../peers/docker-registry.ts';
import {environment} from '../peers/environment.ts';
import {goPrograms, type GoPrograms} from '../peers/go-program.ts';
import {missingFromCopy} from '../peers/image-copy.ts';
import {makeImage, type Image} from '../peers/image.ts';
import {run} from '../peers/run.ts';
import {twoPlatforms} from '../peers/sample-images.ts';
import {Skopeo} from '../peers/skopeo.ts';
import {poll} from '../poll.ts';

const CRANE: GoPrograms = {
  module: 'github.com/google/go-containerregistry',
  version: 'v0.22.1',
  packages: ['cmd/crane'],
};
const ORAS: GoPrograms = {module: 'oras.land/oras', version: 'v1.3.6', packages: ['cmd/oras']};
const MANIFEST_TYPE = 'application/vnd.oci.image.manifest.v1+json';

/** A docker-registry, which has no referrers API, behind an agent that calls it Docker Hub. */
interface Stage {
  readonly folder: string;
  readonly registry: DockerRegistry;
  readonly agent: AgentRig;
  /** Its two platforms are `docker.io/library/hello:v1`. */
  readonly image: Image;
}

async function setUp(stack: AsyncDisposableStack): Promise<Stage> {
  const {path: folder} = stack.use(await mkdtempDisposable(join(tmpdir(), 'noost-clients-')));
  const registry = stack.use(await DockerRegistry.start({folder: join(folder, 'registry')}));
  const image = await makeImage(join(folder, 'image'), twoPlatforms('hello', 'oci', 'gzip'));
  await new Skopeo(join(folder, 'skopeo')).push(image, `${registry.address}/library/hello:v1`);
  const upstreams = [{host: 'docker.io', url: registry.url, freshFor: '0s'}];
  const agent = stack.use(await AgentRig.start({config: {upstreams}}));
  await registry.takeEntries();
  return {folder, registry, agent, image};
}

/** Runs a program of `programs` with a HOME of its own. @returns what it printed. */
async function runIn(folder: string, program: string, ...args: readonly string[]): Promise<string> {
  return (await run(program, args, {env: environment(folder), cwd: folder})).toString();
}

async function referrersSeen(oras: string, folder: string, reference: string): Promise<readonly string[]> {
  const text = await runIn(folder, oras, 'discover', '--plain-http', '--format', 'json', reference);
  const {referrers = []} = JSON.parse(text) as {referrers?: {artifactType: string}[]};
  return referrers.map(({artifactType}) => artifactType).toSorted();
}

test('crane reads and pulls through the agent', async (t) => {
  if (!needs(t, 'docker-registry', 'skopeo')) return;
  const programs = await goPrograms(t, CRANE);
  if (programs === undefined) return;
  await using stack = new AsyncDisposableStack();
  const {folder, registry, agent, image} = await setUp(stack);
  const crane = join(programs, 'crane');
  const name = `${agent.address}/docker.io/library/hello`;

  assert.equal((await runIn(folder, crane, 'digest', `${name}:v1`)).trim(), image.root.digest);
  const manifest = await run(crane, ['manifest', `${name}:v1`], {env: environment(folder)});
  assert.deepEqual(manifest, await readFile(join(image.folder, 'manifest.json')), 'byte for byte (P-06)');
  assert.equal((await runIn(folder, crane, 'ls', name)).trim(), 'v1');
  for (const copy of ['cold', 'warm'])
    await runIn(folder, crane, 'pull', '--platform', 'all', '--format', 'oci', `${name}:v1`, copy);
  for (const copy of ['cold', 'warm']) assert.deepEqual(await missingFromCopy(image, join(folder, copy), 'oci'), []);
  assert.match(await runIn(folder, crane, 'validate', '--remote', `${name}@${image.root.digest}`), /PASS/);

  const gets = (await registry.takeRequests()).filter((request) => /^GET .*sha256:/.test(request));
  assert.equal(gets.length, new Set(gets).size, 'each content once');
  await assert.rejects(
    runIn(folder, crane, 'digest', '--full-ref', `${agent.address}/docker.io/library/none:v1`),
    /404/,
  );
  const none = runIn(folder, crane, 'pull', `${agent.address}/docker.io/library/none:v1`, 'none');
  await assert.rejects(none, /MANIFEST_UNKNOWN: docker\.io/, 'the error names the registry');
});

test('oras pulls artifacts, and finds their signatures where the registry has no referrers API', async (t) => {
  if (!needs(t, 'docker-registry', 'skopeo')) return;
  const programs = await goPrograms(t, ORAS);
  if (programs === undefined) return;
  await using stack = new AsyncDisposableStack();
  const {folder, registry, agent} = await setUp(stack);
  const oras = join(programs, 'oras');
  const [pushed, pulled] = [join(folder, 'pushed'), join(folder, 'pulled')];
  await mkdir(pushed);
  await writeFile(join(pushed, 'chart.tgz'), 'a chart');
  const types = ['--config', '/dev/null:application/vnd.cncf.helm.config.v1+json', '--disable-path-validation'];
  const layer = 'chart.tgz:application/vnd.cncf.helm.chart.content.v1.tar+gzip';
  const direct = `${registry.address}/charts/one:1.0.0`;
  const through = `${agent.address}/docker.io/charts/one:1.0.0`;
  await run(oras, ['push', '--plain-http', ...types, direct, layer], {env: environment(folder), cwd: pushed});

  await runIn(folder, oras, 'pull', '--plain-http', '--output', pulled, through);
  assert.equal(await readFile(join(pulled, 'chart.tgz'), 'utf8'), 'a chart');
  // A 404 for referrers is what sends it to the tag sha256-<hex>, as cosign's older layouts do.
  assert.deepEqual(await referrersSeen(oras, folder, through), []);
  for (const types of [['test/one'], ['test/one', 'test/two']]) {
    const artifactType = types.at(-1) ?? '';
    await runIn(folder, oras, 'attach', '--plain-http', '--artifact-type', artifactType, '--annotation', 'a=b', direct);
    await poll(`the agent shows ${types.join()}`, async () => {
      const seen = await referrersSeen(oras, folder, through);
      return seen.join() === types.join();
    });
  }
  assert.ok(
    (await registry.takeRequests()).some((request) => /GET \S+\/manifests\/sha256-[a-f0-9]{64}$/.test(request)),
  );
});

test('oras finds signatures where the registry has the referrers API', async (t) => {
  const programs = await goPrograms(t, ORAS);
  if (programs === undefined) return;
  await using stack = new AsyncDisposableStack();
  const {path: folder} = stack.use(await mkdtempDisposable(join(tmpdir(), 'noost-oras-')));
  const registry = stack.use(await FakeRegistry.start());
  const {digest, bytes} = registry.content.addImage('team/app', 'v1');
  const subject = {mediaType: MANIFEST_TYPE, digest, size: bytes.length};
  const empty = {mediaType: 'application/vnd.oci.empty.v1+json', digest: `sha256:${'0'.repeat(64)}`, size: 2};
  const signature = {schemaVersion: 2, mediaType: MANIFEST_TYPE, config: empty, layers: [], subject};
  const signed = registry.content.addManifest(
    'team/app',
    {...signature, artifactType: 'test/signature'},
    MANIFEST_TYPE,
  );
  const agent = stack.use(await AgentRig.start({config: {upstreams: [{host: 'up.test', url: registry.url}]}}));
  const seen = await referrersSeen(join(programs, 'oras'), folder, `${agent.address}/up.test/team/app:v1`);
  assert.deepEqual(seen, ['test/signature']);
  const referrers = registry.lines().filter((line) => line.includes('/referrers/'));
  // The signature may be signed in its turn: oras looks.
  assert.deepEqual(
    referrers,
    [digest, signed].map((of) => `GET /v2/team/app/referrers/${of}`),
  );
});

for (const program of ['buildah', 'podman'])
  test(`${program} pulls by a mirror in registries.conf`, async (t: TestContext) => {
    if (!needs(t, 'root', program, 'docker-registry', 'skopeo')) return;
    await using stack = new AsyncDisposableStack();
    const {folder, registry, agent, image} = await setUp(stack);
    const policy = join(folder, 'policy.json');
    await writeFile(policy, '{"default":[{"type":"insecureAcceptAnything"}]}');
    const mirror = `[[registry.mirror]]\nlocation = "${agent.address}/docker.io"\ninsecure = true\n`;
    await writeFile(join(folder, 'registries.conf'), `[[registry]]\nlocation = "docker.io"\n${mirror}`);
    const storage = ['--root', join(folder, 'root'), '--runroot', join(folder, 'run'), '--storage-driver', 'vfs'];
    const env = environment(folder, {CONTAINERS_REGISTRIES_CONF: join(folder, 'registries.conf')});
    const pull = [...storage, 'pull', '--quiet', '--signature-policy', policy, 'docker.io/library/hello:v1'];
    const config = image.platforms[process.arch === 'arm64' ? 1 : 0]?.blobs[0]?.digest ?? '';
    for (const state of ['cold', 'warm']) {
      const id = (await run(program, pull, {env})).toString().trim();
      assert.equal(`sha256:${id}`, config, state);
      await run(program, [...storage, 'rmi', '--all', '--force'], {env});
    }
    const blobs = (await registry.takeEntries()).filter(({request}) => request.includes('/blobs/'));
    assert.deepEqual(new Set(blobs.map(({userAgent}) => userAgent.split('/')[0])), new Set(['noost']));
    assert.equal(blobs.length, new Set(blobs.map(({request}) => request)).size, 'each blob once');
  });
