import assert from 'node:assert/strict';
import {mkdir, mkdtempDisposable, readFile, writeFile} from 'node:fs/promises';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {test, type TestContext} from 'node:test';
import {ALICE, BOB, HostedRig} from '../hosted-rig.ts';
import {needs} from '../needs.ts';
import {Containerd} from '../peers/containerd.ts';
import {environment} from '../peers/environment.ts';
import {goPrograms, type GoPrograms} from '../peers/go-program.ts';
import {missingFromCopy} from '../peers/image-copy.ts';
import {makeImage} from '../peers/image.ts';
import {Machine} from '../peers/machine.ts';
import {COSIGN, CRANE, ORAS} from '../peers/registry-clients.ts';
import {run} from '../peers/run.ts';
import {busyboxImage, seededLayer, twoPlatforms} from '../peers/sample-images.ts';
import {Skopeo} from '../peers/skopeo.ts';

const LOGIN = ['--username', ALICE.username, '--password', ALICE.password];

interface Stage {
  readonly folder: string;
  readonly registry: HostedRig;
  readonly skopeo: Skopeo;
  /** Runs a program with a HOME of its own. @returns what it printed. */
  readonly run: (program: string, ...args: readonly string[]) => Promise<string>;
}

async function setUp(stack: AsyncDisposableStack): Promise<Stage> {
  const {path: folder} = stack.use(await mkdtempDisposable(join(tmpdir(), 'noost-push-')));
  const registry = stack.use(await HostedRig.start());
  const env = environment(folder, {REGISTRY_AUTH_FILE: join(folder, 'auth.json'), COSIGN_PASSWORD: ''});
  return {
    folder,
    registry,
    skopeo: new Skopeo(join(folder, 'skopeo')),
    run: async (program, ...args) => (await run(program, args, {env, cwd: folder})).toString(),
  };
}

async function clientOf(t: TestContext, programs: GoPrograms, name: string): Promise<string | undefined> {
  const folder = await goPrograms(t, programs);
  return folder === undefined ? undefined : join(folder, name);
}

test('skopeo pushes images of all kinds and gets every byte back; a wrong password gets nothing', async (t) => {
  if (!needs(t, 'skopeo')) return;
  await using stack = new AsyncDisposableStack();
  const {folder, registry, skopeo} = await setUp(stack);
  const kinds = [
    ['oci', 'gzip'],
    ['oci', 'zstd'],
    ['docker', 'gzip'],
  ] as const;
  for (const [mediaTypes, compression] of kinds) {
    const name = `${mediaTypes}-${compression}`;
    const image = await makeImage(join(folder, name), twoPlatforms(name, mediaTypes, compression));
    const reference = `${registry.address}/team/app:${name}`;
    await skopeo.push(image, reference, ALICE);
    const copy = join(folder, `${name}-copy`);
    const get = ['copy', '-q', '--all', '--preserve-digests', '--src-tls-verify=false', '--insecure-policy'];
    await run('skopeo', [...get, '--src-creds', `bob:${BOB.password}`, `docker://${reference}`, `dir:${copy}`]);
    assert.deepEqual(await missingFromCopy(image, copy, 'dir'), []);
    const wrong = run('skopeo', [...get, '--src-creds', 'bob:guess', `docker://${reference}`, `dir:${copy}-2`]);
    await assert.rejects(wrong, /The user name or the password is not right/);
    await assert.rejects(
      run('skopeo', [...get, `docker://${reference}`, `dir:${copy}-3`]),
      /unauthorized|authentication required|There is nothing here/i,
    );
  }
  const listed = JSON.parse(await registry.agent.noost('ls', '--hosted', '--json')) as {hosted: {tag: string}[]};
  assert.deepEqual(
    listed.hosted.map(({tag}) => tag),
    ['docker-gzip', 'oci-gzip', 'oci-zstd'],
  );
});

test('an image of 200 layers', async (t) => {
  if (!needs(t, 'skopeo')) return;
  await using stack = new AsyncDisposableStack();
  const {folder, registry, skopeo} = await setUp(stack);
  const layers = Array.from({length: 200}, (_, i) => seededLayer(`layer-${i}`, 2_000 + i));
  const image = await makeImage(join(folder, 'many'), {
    mediaTypes: 'oci',
    platforms: [{architecture: 'amd64', layers}],
  });
  await skopeo.push(image, `${registry.address}/many:1`, ALICE);
  const copy = join(folder, 'copy');
  const get = ['--insecure-policy', 'copy', '-q', '--preserve-digests', '--src-tls-verify=false'];
  const creds = ['--src-creds', `${BOB.username}:${BOB.password}`];
  await run('skopeo', [...get, ...creds, `docker://${registry.address}/many:1`, `dir:${copy}`]);
  assert.deepEqual(await missingFromCopy(image, copy, 'dir'), []);
});

for (const program of ['buildah', 'podman'])
  test(`${program} logs in, pushes and pulls`, async (t) => {
    if (!needs(t, 'root', program, 'skopeo')) return;
    await using stack = new AsyncDisposableStack();
    const {folder, registry, run: runIn} = await setUp(stack);
    const spec = await busyboxImage(program);
    const image = await makeImage(join(folder, 'image'), {...spec, platforms: spec.platforms.slice(0, 1)});
    const policy = join(folder, 'policy.json');
    await writeFile(policy, '{"default":[{"type":"insecureAcceptAnything"}]}');
    const storage = ['--root', join(folder, 'root'), '--runroot', join(folder, 'run'), '--storage-driver', 'vfs'];
    const ask = (verb: string, ...args: readonly string[]): Promise<string> =>
      runIn(program, ...storage, verb, ...args);
    await assert.rejects(
      ask('login', '--tls-verify=false', '--username', 'alice', '--password', 'guess', registry.address),
      /invalid username\/password/,
    );
    await ask('login', '--tls-verify=false', ...LOGIN, registry.address);
    const id = (await ask('pull', '-q', '--signature-policy', policy, `dir:${image.folder}`)).trim();
    const reference = `${registry.address}/built/${program}:1`;
    await ask('push', '-q', '--tls-verify=false', '--signature-policy', policy, id, `docker://${reference}`);
    await ask('rmi', '--all', '--force');
    const pulled = await ask('pull', '-q', '--tls-verify=false', '--signature-policy', policy, reference);
    assert.equal(pulled.trim(), id);
  });

test('containerd pushes by ctr, pulls again and runs what it pushed', async (t) => {
  if (!needs(t, 'root', 'containerd', 'ctr', 'runc', 'skopeo', 'busybox', 'ip', 'unshare')) return;
  await using stack = new AsyncDisposableStack();
  const {path: folder} = stack.use(await mkdtempDisposable(join(tmpdir(), 'noost-ctr-')));
  const machine = stack.use(await Machine.start({folder, hosts: {}, trust: ''}));
  const registry = stack.use(await HostedRig.start({agent: {inside: machine.inside}}));
  const containerd = stack.use(await Containerd.start(machine, folder));
  const image = await makeImage(join(folder, 'image'), await busyboxImage('hello from ctr'));
  const archive = join(folder, 'image.tar');
  const reference = `${registry.address}/team/hello:v1`;
  const pack = ['--insecure-policy', 'copy', '-q', '--all', '--preserve-digests', `dir:${image.folder}`];
  await run('skopeo', [...pack, `oci-archive:${archive}:${reference}`]);
  await containerd.ctr('images', 'import', '--all-platforms', '--digests', '--no-unpack', archive);
  const user = ['--plain-http', '--user', `${ALICE.username}:${ALICE.password}`];
  const imported = (await containerd.ctr('images', 'ls', '-q')).trim().split('\n');
  const local = imported.find((name) => name.includes(image.root.digest)) ?? imported[0] ?? '';
  await containerd.ctr('images', 'push', ...user, reference, local);
  await containerd.forget(...imported);
  await containerd.pull(reference, ...user);
  assert.equal(await containerd.run(reference), 'hello from ctr\n');
  // As a node's runtime it needs no login and no configuration for the registry: the agent is its mirror for all names.
  await containerd.forget(reference);
  await containerd.useMirror(`http://${registry.runtimeAddress}`);
  await containerd.pull('reg.test/team/hello:v1');
  assert.equal(await containerd.run('reg.test/team/hello:v1'), 'hello from ctr\n');
  const pushes = registry.audit.filter(({action, kind}) => action === 'push' && kind === 'tag');
  assert.deepEqual(
    pushes.map(({who, repository, digest}) => [who, repository, digest]),
    [['alice', 'team/hello', image.root.digest]],
  );
});

test('crane logs in, pushes, mounts across repositories, lists and deletes', async (t) => {
  const crane = await clientOf(t, CRANE, 'crane');
  if (crane === undefined || !needs(t, 'skopeo')) return;
  await using stack = new AsyncDisposableStack();
  const {folder, registry, skopeo, run: runIn} = await setUp(stack);
  const image = await makeImage(join(folder, 'image'), twoPlatforms('crane', 'oci', 'gzip'));
  await skopeo.push(image, `${registry.address}/team/app:v1`, ALICE);
  const name = (repository: string): string => `${registry.address}/${repository}`;
  await runIn(crane, 'auth', 'login', registry.address, ...LOGIN);
  await runIn(crane, 'copy', name('team/app:v1'), name('team/copy:v1'));
  assert.match(await runIn(crane, 'validate', '--remote', name('team/copy:v1')), /PASS/);
  assert.equal((await runIn(crane, 'catalog', registry.address)).trim(), 'team/app\nteam/copy');
  await runIn(crane, 'tag', name('team/copy:v1'), 'v2');
  assert.equal((await runIn(crane, 'ls', name('team/copy'))).trim(), 'v1\nv2');
  // Nothing was uploaded twice: what one repository had was mounted into the other.
  const uploads = registry.audit.filter(
    ({action, kind, method}) => action === 'push' && kind === 'upload' && method === 'PUT',
  );
  assert.equal(uploads.filter(({repository}) => repository === 'team/copy').length, 0);
  await runIn(crane, 'pull', '--platform', 'all', '--format', 'oci', name('team/copy:v2'), 'layout');
  assert.deepEqual(await missingFromCopy(image, join(folder, 'layout'), 'oci'), []);
  await runIn(crane, 'push', 'layout', name('pushed/layout:v1'));
  assert.equal((await runIn(crane, 'digest', name('pushed/layout:v1'))).trim(), image.root.digest);
  await runIn(crane, 'delete', name('team/copy:v1'));
  assert.equal((await runIn(crane, 'ls', name('team/copy'))).trim(), 'v2');
  await runIn(crane, 'delete', name(`team/copy@${image.root.digest}`));
  await assert.rejects(runIn(crane, 'digest', name('team/copy:v2')), /MANIFEST_UNKNOWN|404/);
  assert.equal(
    (await runIn(crane, 'digest', name('team/app:v1'))).trim(),
    image.root.digest,
    'the other stays (A-064)',
  );
});

test('oras pushes an artifact, attaches to it and finds what was attached', async (t) => {
  const oras = await clientOf(t, ORAS, 'oras');
  if (oras === undefined) return;
  await using stack = new AsyncDisposableStack();
  const {folder, registry, run: runIn} = await setUp(stack);
  const name = `${registry.address}/charts/one`;
  await writeFile(join(folder, 'chart.tgz'), 'a chart');
  await writeFile(join(folder, 'sbom.json'), '{}');
  await runIn(oras, 'login', '--plain-http', ...LOGIN, registry.address);
  const layer = 'chart.tgz:application/vnd.cncf.helm.chart.content.v1.tar+gzip';
  await runIn(oras, 'push', '--plain-http', '--artifact-type', 'test/chart', `${name}:1.0.0`, layer);
  for (const type of ['test/sbom', 'test/scan'])
    await runIn(
      oras,
      'attach',
      '--plain-http',
      '--artifact-type',
      type,
      '--annotation',
      `of=${type}`,
      `${name}:1.0.0`,
      'sbom.json',
    );
  const discover = ['discover', '--plain-http', '--format', 'json'];
  const typesOf = async (...more: readonly string[]): Promise<string[]> => {
    const text = await runIn(oras, ...discover, ...more, `${name}:1.0.0`);
    return (JSON.parse(text) as {referrers: {artifactType: string}[]}).referrers.map((one) => one.artifactType).sort();
  };
  assert.deepEqual(await typesOf(), ['test/sbom', 'test/scan']);
  assert.deepEqual(await typesOf('--artifact-type', 'test/scan'), ['test/scan']);
  // With the referrers API there is no fallback tag.
  assert.equal((await runIn(oras, 'repo', 'tags', '--plain-http', name)).trim(), '1.0.0');
  await mkdir(join(folder, 'out'));
  await runIn(oras, 'pull', '--plain-http', '--output', 'out', `${name}:1.0.0`);
  assert.equal(await readFile(join(folder, 'out', 'chart.tgz'), 'utf8'), 'a chart');
});

test('cosign signs an image, and finds and verifies its signature', async (t) => {
  const cosign = await clientOf(t, COSIGN, 'cosign');
  if (cosign === undefined || !needs(t, 'skopeo')) return;
  await using stack = new AsyncDisposableStack();
  const {folder, registry, skopeo, run: runIn} = await setUp(stack);
  const image = await makeImage(join(folder, 'image'), twoPlatforms('signed', 'oci', 'gzip'));
  await skopeo.push(image, `${registry.address}/team/app:v1`, ALICE);
  await runIn(cosign, 'login', registry.address, ...LOGIN);
  await runIn(cosign, 'generate-key-pair');
  const name = `${registry.address}/team/app@${image.root.digest}`;
  const offline = ['--tlog-upload=false', '--use-signing-config=false', '--allow-http-registry', '--yes'];
  const verify = ['verify', '--key', 'cosign.pub', '--insecure-ignore-tlog', '--allow-http-registry'];
  await assert.rejects(runIn(cosign, ...verify, name), /no (?:matching )?signatures/i);
  await runIn(cosign, 'sign', '--key', 'cosign.key', ...offline, name);
  assert.match(await runIn(cosign, ...verify, name), new RegExp(image.root.digest));
  const answer = await registry.send(BOB, 'GET', `team/app/referrers/${image.root.digest}`);
  const {manifests} = (await answer.json()) as {manifests: {artifactType: string}[]};
  assert.deepEqual(
    manifests.map(({artifactType}) => artifactType),
    ['application/vnd.dev.sigstore.bundle.v0.3+json'],
  );
});
