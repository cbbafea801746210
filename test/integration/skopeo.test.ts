import assert from 'node:assert/strict';
import {mkdtempDisposable, writeFile} from 'node:fs/promises';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {test} from 'node:test';
import {AgentRig} from '../agent-rig.ts';
import {needs} from '../needs.ts';
import {Cdn} from '../peers/cdn.ts';
import {CertificateAuthority} from '../peers/certificate-authority.ts';
import {DockerRegistry, type RegistryAuth} from '../peers/docker-registry.ts';
import {missingFromCopy} from '../peers/image-copy.ts';
import {makeImage, type Image, type ImageSpec} from '../peers/image.ts';
import {seededLayer, twoPlatforms} from '../peers/sample-images.ts';
import {Skopeo} from '../peers/skopeo.ts';
import {TokenServer} from '../peers/token-server.ts';

const LOGIN = {username: 'node', password: 'correct:horse battery'};
const PROGRAMS = ['docker-registry', 'skopeo', 'openssl', 'htpasswd'];

async function temporaryFolder(stack: AsyncDisposableStack): Promise<string> {
  return stack.use(await mkdtempDisposable(join(tmpdir(), 'noost-skopeo-'))).path;
}

/** What a registry answered with content, without the questions that it turned down for want of credentials. */
async function answered(registry: DockerRegistry): Promise<string[]> {
  return (await registry.takeEntries()).filter(({status}) => status < 400).map(({request}) => request);
}

/** The GETs of an image's blobs, and of its manifests below the tag, sorted: each once. */
function contentGets(repository: string, {manifests, blobs}: Image): string[] {
  return [
    ...blobs.map(({digest}) => `GET /v2/${repository}/blobs/${digest}`),
    ...manifests.map(({digest}) => `GET /v2/${repository}/manifests/${digest}`),
  ].toSorted();
}

const IMAGES = [
  {name: 'an OCI index', repository: 'team/oci-gzip', transport: 'oci', mediaTypes: 'oci', compression: 'gzip'},
  {name: 'an OCI index with zstd layers', repository: 'zstd', transport: 'oci', mediaTypes: 'oci', compression: 'zstd'},
  {name: 'a docker list', repository: 'a/b/c/docker', transport: 'dir', mediaTypes: 'docker', compression: 'gzip'},
] as const;

for (const kind of ['none', 'basic', 'token', 'tls'] as const) {
  test(`skopeo copies through the agent from a registry with ${kind === 'tls' ? 'TLS' : `auth ${kind}`}`, async (t) => {
    if (!needs(t, ...PROGRAMS)) return;
    await using stack = new AsyncDisposableStack();
    const folder = await temporaryFolder(stack);
    const ca = await CertificateAuthority.create(folder);
    const tokens = stack.use(await TokenServer.start({signer: ca, users: {[LOGIN.username]: LOGIN.password}}));
    const auths: Record<typeof kind, RegistryAuth> = {
      none: {kind: 'none'},
      tls: {kind: 'none'},
      basic: {kind: 'basic', ...LOGIN},
      token: {kind: 'token', realm: tokens.realm, service: tokens.service, trusted: ca},
    };
    const tls = kind === 'tls' ? {tls: await ca.issue('127.0.0.1')} : {};
    const auth = auths[kind];
    const upstream = stack.use(await DockerRegistry.start({folder: join(folder, 'upstream'), auth, ...tls}));
    const passwordFile = join(folder, 'password');
    await writeFile(passwordFile, `${LOGIN.password}\n`);
    const login = auth.kind === 'none' ? undefined : LOGIN;
    const configured = {
      host: 'up.test',
      url: upstream.url,
      ...(kind === 'tls' ? {tls: {caFile: ca.certFile}} : {}),
      ...(login ? {credentials: {username: login.username, passwordFile}} : {}),
    };
    const agent = stack.use(await AgentRig.start({config: {upstreams: [configured]}}));
    const skopeo = new Skopeo(join(folder, 'skopeo'));

    for (const {name, repository, transport, ...types} of IMAGES) {
      await t.test(name, async () => {
        const spec = twoPlatforms(`${kind}-${repository}`, types.mediaTypes, types.compression);
        const image = await makeImage(join(folder, `${types.mediaTypes}-${types.compression}`), spec);
        await skopeo.push(image, `${upstream.address}/${repository}:v1`, login);
        await upstream.takeEntries();
        tokens.requests.length = 0;

        const from = `docker://${agent.address}/up.test/${repository}:v1`;
        const cold = `${image.folder}-cold`;
        await skopeo.copy(from, `${transport}:${cold}`, {all: true});
        assert.deepEqual(await missingFromCopy(image, cold, transport), []);
        const tagged = `/v2/${repository}/manifests/v1`;
        const asked = (await answered(upstream)).filter((request) => !request.endsWith(tagged));
        assert.deepEqual(asked.toSorted(), contentGets(repository, image));
        const scopes = new Set(tokens.requests);
        if (kind === 'token') assert.match([...scopes].join(), /^(GET|POST) node repository:\S+:pull$/);

        const warm = `${image.folder}-warm`;
        await skopeo.copy(from, `${transport}:${warm}`, {all: true});
        assert.deepEqual(await missingFromCopy(image, warm, transport), []);
        const again = await upstream.takeRequests();
        assert.ok(again.length <= 1 && again.every((request) => request === `HEAD ${tagged}`), again.join());

        const one = `${image.folder}-one`;
        await skopeo.copy(from, `${transport}:${one}`);
        await skopeo.copy(from.replace(/:v1$/, `@${image.root.digest}`), `dir:${one}-digest`, {all: true});
        assert.deepEqual(await missingFromCopy(image, `${one}-digest`, 'dir'), []);
      });
    }
    assert.deepEqual(await skopeo.tags(`docker://${agent.address}/up.test/zstd`), ['v1']);
    const secrets = [LOGIN.password, Buffer.from(`${LOGIN.username}:${LOGIN.password}`).toString('base64')];
    assert.deepEqual(
      agent.lines.filter((line) => secrets.some((secret) => line.includes(secret))),
      [],
    );
  });
}

test('skopeo finds one image under every form of its name', async (t) => {
  if (!needs(t, ...PROGRAMS)) return;
  await using stack = new AsyncDisposableStack();
  const folder = await temporaryFolder(stack);
  const upstream = stack.use(await DockerRegistry.start({folder: join(folder, 'upstream')}));
  const skopeo = new Skopeo(join(folder, 'skopeo'));
  const image = await makeImage(join(folder, 'image'), twoPlatforms('names', 'oci', 'gzip'));
  await skopeo.push(image, `${upstream.address}/library/hello:v1`);
  const upstreams = ['docker.io', upstream.address].map((host) => ({host, url: upstream.url}));
  const agent = stack.use(await AgentRig.start({config: {upstreams, defaultUpstream: 'docker.io'}}));
  await upstream.takeEntries();

  // CRI-O's and podman's way to use a mirror: the host becomes the first component of the path.
  const registries = `[[registry]]
location = "docker.io"
[[registry.mirror]]
location = "${agent.address}/docker.io"
insecure = true
`;
  for (const [at, {name, from, ...options}] of [
    {name: 'a path that begins with the registry', from: `${agent.address}/docker.io/library/hello:v1`},
    {name: 'of Docker Hub, without library/', from: `${agent.address}/docker.io/hello:v1`},
    {name: 'no registry at all, as dockerd asks its mirrors', from: `${agent.address}/library/hello:v1`},
    {name: 'no registry and no library/', from: `${agent.address}/hello:v1`},
    {name: 'behind f/', from: `${agent.address}/f/docker.io/hello:v1`},
    {name: 'the image’s own name and a mirror in registries.conf', from: 'docker.io/library/hello:v1', registries},
  ].entries()) {
    await t.test(name, async () => {
      const copy = join(folder, `copy-${at}`);
      await skopeo.copy(`docker://${from}`, `oci:${copy}`, {all: true, ...options});
      assert.deepEqual(await missingFromCopy(image, copy, 'oci'), []);
    });
  }
  const gets = (await upstream.takeRequests()).filter((request) => /^GET .*(?:blobs|@|sha256:)/.test(request));
  assert.deepEqual(gets.toSorted(), contentGets('library/hello', image), 'six names, one fetch');

  // What skopeo's grammar has no form for: a port in a path, and containerd's parameter.
  for (const path of [
    `/v2/${upstream.address}/library/hello/manifests/v1`,
    `/v2/library/hello/manifests/v1?ns=${encodeURIComponent(upstream.address)}`,
    '/v2/library/hello/manifests/v1?ns=docker.io',
    '/v2/hello/manifests/v1?ns=docker.io',
  ]) {
    await t.test(path.replace(upstream.address, 'host:port'), async () => {
      const response = await fetch(agent.url + path);
      assert.equal(response.status, 200, await response.clone().text());
      assert.equal(response.headers.get('docker-content-digest'), image.root.digest);
      assert.equal(response.headers.get('content-type'), image.root.mediaType);
      assert.equal((await response.bytes()).length, image.root.size);
    });
  }
});

test('skopeo copies through the agent what a registry redirects to elsewhere', async (t) => {
  if (!needs(t, ...PROGRAMS, 'nginx')) return;
  await using stack = new AsyncDisposableStack();
  const folder = await temporaryFolder(stack);
  const storage = join(folder, 'storage');
  const cdn = stack.use(await Cdn.start(join(folder, 'cdn'), storage));
  const auth: RegistryAuth = {kind: 'basic', ...LOGIN};
  const options = {folder: join(folder, 'upstream'), storage, redirect: cdn.url, auth};
  const upstream = stack.use(await DockerRegistry.start(options));
  const skopeo = new Skopeo(join(folder, 'skopeo'));
  const image = await makeImage(join(folder, 'image'), twoPlatforms('cdn', 'oci', 'gzip'));
  await skopeo.push(image, `${upstream.address}/app:v1`, LOGIN);
  const passwordFile = join(folder, 'password');
  await writeFile(passwordFile, LOGIN.password);
  const credentials = {username: LOGIN.username, passwordFile};
  const agent = stack.use(
    await AgentRig.start({config: {upstreams: [{host: 'up.test', url: upstream.url, credentials}]}}),
  );
  const before = (await cdn.requests()).length;
  await skopeo.copy(`docker://${agent.address}/up.test/app:v1`, `oci:${folder}/copy`, {all: true});
  assert.deepEqual(await missingFromCopy(image, join(folder, 'copy'), 'oci'), []);
  const asked = (await cdn.requests()).slice(before);
  assert.equal(asked.length, image.blobs.length, 'each blob once');
  assert.ok(
    asked.every((line) => line.endsWith('authorization=-')),
    'the credentials stay with the registry (P-19)',
  );
});

test('skopeo copies a layer of 1 GiB through the agent, which fetches it once', async (t) => {
  if (!needs(t, ...PROGRAMS)) return;
  await using stack = new AsyncDisposableStack();
  const folder = await temporaryFolder(stack);
  const upstream = stack.use(await DockerRegistry.start({folder: join(folder, 'upstream')}));
  const skopeo = new Skopeo(join(folder, 'skopeo'));
  const layers = [seededLayer('large', 2 ** 30, 'none')];
  const spec: ImageSpec = {mediaTypes: 'oci', platforms: [{architecture: 'amd64', layers}]};
  const image = await makeImage(join(folder, 'image'), spec);
  await skopeo.push(image, `${upstream.address}/large:v1`);
  const agent = stack.use(await AgentRig.start({config: {upstreams: [{host: 'up.test', url: upstream.url}]}}));
  await upstream.takeEntries();
  for (const copy of ['cold', 'warm']) {
    await skopeo.copy(`docker://${agent.address}/up.test/large:v1`, `dir:${join(folder, copy)}`);
    assert.deepEqual(await missingFromCopy(image, join(folder, copy), 'dir'), []);
  }
  const gets = (await upstream.takeRequests()).filter((request) => request.includes('/blobs/'));
  assert.deepEqual(gets.toSorted(), contentGets('large', image));
});
