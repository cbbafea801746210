import assert from 'node:assert/strict';
import {mkdtempDisposable, readFile} from 'node:fs/promises';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {test} from 'node:test';
import {needs} from '../needs.ts';
import {AgentRig} from '../agent-rig.ts';
import {CertificateAuthority} from '../peers/certificate-authority.ts';
import {Containerd} from '../peers/containerd.ts';
import {DockerRegistry} from '../peers/docker-registry.ts';
import {makeImage, type Image} from '../peers/image.ts';
import {Machine} from '../peers/machine.ts';
import {busyboxImage} from '../peers/sample-images.ts';
import {Skopeo} from '../peers/skopeo.ts';

/** Three registries as the world has them, on addresses of the machine's own loopback, each with its own kind of image. */
const REGISTRIES = [
  {
    name: 'docker.io',
    host: 'registry-1.docker.io',
    address: '127.0.0.11',
    port: 443,
    repository: 'library/hello',
    types: {mediaTypes: 'oci', compression: 'gzip'},
  },
  {
    name: 'ghcr.io',
    host: 'ghcr.io',
    address: '127.0.0.12',
    port: 443,
    repository: 'team/app/hello',
    types: {mediaTypes: 'oci', compression: 'zstd'},
  },
  {
    name: 'registry.test:5000',
    host: 'registry.test',
    address: '127.0.0.13',
    port: 5000,
    repository: 'hello',
    types: {mediaTypes: 'docker', compression: 'gzip'},
  },
] as const;
const HUB_ALIAS = {'docker.io': '127.0.0.11'};
const REFERENCES = REGISTRIES.map(({name, repository}) => `${name}/${repository}:v1`);

/** Pulls everything and runs it: what a container prints is what its registry has. */
async function pullAndRun(containerd: Containerd): Promise<void> {
  for (const reference of REFERENCES) {
    await containerd.pull(reference);
    assert.equal(await containerd.run(reference), `hello from ${reference}\n`);
  }
}

/** Pushes each reference's image into one storage, by a registry that needs no namespace. */
async function fillStorage(folder: string, storage: string): Promise<Map<string, Image>> {
  await using registry = await DockerRegistry.start({folder: join(folder, 'filling'), storage});
  const skopeo = new Skopeo(join(folder, 'skopeo'));
  const images = new Map<string, Image>();
  for (const [at, {repository, types}] of REGISTRIES.entries()) {
    const reference = REFERENCES[at] ?? '';
    const image = await makeImage(join(folder, `image-${at}`), await busyboxImage(`hello from ${reference}`, types));
    await skopeo.push(image, `${registry.address}/${repository}:v1`);
    images.set(reference, image);
  }
  return images;
}

/** The requests for the blobs of this machine's platform, sorted: each once, and no others. */
function blobGets(repository: string, image: Image): string[] {
  return (image.platforms[0]?.blobs ?? []).map(({digest}) => `GET /v2/${repository}/blobs/${digest}`).toSorted();
}

test('containerd with nothing but _default/hosts.toml pulls and runs any name through the agent', async (t) => {
  if (
    !needs(t, 'root', 'containerd', 'ctr', 'runc', 'docker-registry', 'skopeo', 'busybox', 'openssl', 'ip', 'unshare')
  )
    return;
  await using stack = new AsyncDisposableStack();
  const {path: folder} = stack.use(await mkdtempDisposable(join(tmpdir(), 'noost-containerd-')));
  const storage = join(folder, 'storage');
  const images = await fillStorage(folder, storage);

  const ca = await CertificateAuthority.create(folder);
  const hosts = Object.fromEntries(REGISTRIES.map(({host, address}) => [host, address]));
  const trust = await readFile(ca.certFile, 'utf8');
  const machine = stack.use(await Machine.start({folder, hosts: {...hosts, ...HUB_ALIAS}, trust}));
  const {inside} = machine;
  const registries: DockerRegistry[] = [];
  for (const {host, address, port} of REGISTRIES) {
    const tls = await ca.issue(host, address);
    const options = {folder: join(folder, host), storage, tls, host: address, port, inside};
    registries.push(stack.use(await DockerRegistry.start(options)));
  }
  const upstreams = REGISTRIES.map(({name, host, port}) => ({
    host: name,
    url: `https://${host}:${port}`,
    tls: {caFile: ca.certFile},
    freshFor: '0s', // each resolution asks, so that what is served without the upstream is served for its absence
  }));
  const agent = stack.use(await AgentRig.start({config: {upstreams}, inside}));
  const containerd = stack.use(await Containerd.start(machine, folder));
  await containerd.useMirror(agent.url);

  await t.test('cold: every blob is fetched once, and by the agent', async () => {
    await pullAndRun(containerd);
    for (const [at, {repository}] of REGISTRIES.entries()) {
      const entries = (await registries[at]?.takeEntries()) ?? [];
      assert.deepEqual(
        entries.filter(({userAgent}) => userAgent.startsWith('containerd')),
        [],
      );
      const gets = entries.map(({request}) => request).filter((request) => request.includes('/blobs/'));
      const image = images.get(REFERENCES[at] ?? '');
      assert.ok(image);
      assert.deepEqual(gets.toSorted(), blobGets(repository, image));
    }
  });

  await t.test('again with the upstreams stopped', async () => {
    for (const registry of registries) await registry.stop();
    await containerd.forget(...REFERENCES);
    await pullAndRun(containerd);
  });

  await t.test('again after the agent was killed and restarted', async () => {
    await agent.stop('SIGKILL');
    await agent.restart();
    await containerd.forget(...REFERENCES);
    await pullAndRun(containerd);
  });

  await t.test('with the agent stopped, straight from the upstreams', async () => {
    await agent.stop();
    for (const registry of registries) await registry.restart();
    await containerd.forget(...REFERENCES);
    await pullAndRun(containerd);
    for (const registry of registries) {
      const entries = await registry.takeEntries();
      assert.ok(entries.length > 0);
      assert.ok(entries.every(({userAgent}) => userAgent.startsWith('containerd')));
    }
  });
});
