import assert from 'node:assert/strict';
import {cp, mkdir, mkdtempDisposable, readFile, symlink, writeFile} from 'node:fs/promises';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {setTimeout as delay} from 'node:timers/promises';
import {test, type TestContext} from 'node:test';
import {AgentRig} from '../agent-rig.ts';
import {needs} from '../needs.ts';
import {describeTree} from '../node-tree.ts';
import {CertificateAuthority} from '../peers/certificate-authority.ts';
import {Child} from '../peers/child.ts';
import {Containerd} from '../peers/containerd.ts';
import {DockerRegistry} from '../peers/docker-registry.ts';
import {environment} from '../peers/environment.ts';
import {goPrograms} from '../peers/go-program.ts';
import {CONTAINERD_2} from '../peers/containerd2.ts';
import {makeImage} from '../peers/image.ts';
import {Machine} from '../peers/machine.ts';
import {seededLayer} from '../peers/sample-images.ts';
import {Skopeo} from '../peers/skopeo.ts';
import {poll} from '../poll.ts';

const HOST = 'registry.test';
const ADDRESS = '127.0.0.13';
const NAME = `${HOST}:5000`;
const IMAGE = `${NAME}/team/private:v1`;
const LOGIN = {username: 'node', password: 'swordfish'};
/** Without it the transfer service of containerd 2 keeps nothing: its default is for a snapshotter that needs no copy. */
const UNPACK = `
[[plugins."io.containerd.transfer.v1.local".unpack_config]]
platform = "linux"
snapshotter = "native"
`;
/** The user's own right, where the agent is not asked. */
const OWN = ['--user', `${LOGIN.username}:${LOGIN.password}`];

/** A node with a containerd, a private registry that its user has configured, and an agent that configures the rest. */
interface Stage {
  readonly folder: string;
  readonly certs: string;
  readonly machine: Machine;
  readonly registry: DockerRegistry;
  readonly agent: AgentRig;
  readonly containerd: Containerd;
  /** The user's files as they were. */
  readonly before: readonly string[];
}

async function setUp(t: TestContext, stack: AsyncDisposableStack, isNew: boolean): Promise<Stage | undefined> {
  if (!needs(t, 'root', 'containerd', 'ctr', 'docker-registry', 'skopeo', 'htpasswd', 'openssl', 'ip', 'unshare'))
    return undefined;
  const programs = isNew ? await goPrograms(t, CONTAINERD_2) : undefined;
  if (isNew && programs === undefined) return undefined;
  const {path: folder} = stack.use(await mkdtempDisposable(join(tmpdir(), 'noost-node-')));
  const storage = join(folder, 'storage');
  await fillStorage(folder, storage);
  await Promise.all(['ca', 'other'].map((name) => mkdir(join(folder, name))));
  const ca = await CertificateAuthority.create(join(folder, 'ca'));
  const other = await CertificateAuthority.create(join(folder, 'other')); // the registry's is not the machine's
  const trust = await readFile(other.certFile, 'utf8');
  const machine = stack.use(await Machine.start({folder, hosts: {[HOST]: ADDRESS}, trust}));
  const {inside} = machine;
  const options = {folder: join(folder, HOST), storage, tls: await ca.issue(HOST, ADDRESS), host: ADDRESS, port: 5000};
  const registry = stack.use(await DockerRegistry.start({...options, inside, auth: {kind: 'basic', ...LOGIN}}));
  const containerd = stack.use(
    await Containerd.start(machine, folder, programs === undefined ? {} : {programs, more: UNPACK}),
  );
  const certs = join(folder, 'certs.d');
  await userFiles(folder, certs, ca.certFile);
  const before = await describeTree(certs);
  await writeFile(join(folder, 'password'), LOGIN.password);
  const credentials = {username: LOGIN.username, passwordFile: join(folder, 'password')};
  const upstreams = [{host: NAME, url: `https://${NAME}`, tls: {caFile: ca.certFile}, credentials}];
  const node = {configure: 'containerd', containerdConfig: join(folder, 'config.toml'), certsDir: certs};
  const agent = stack.use(await AgentRig.start({config: {upstreams, node, cache: {minFreeDisk: '0%'}}, inside}));
  return {folder, certs, machine, registry, agent, containerd, before};
}

/** A link to a file elsewhere, with a certificate by a relative name: what a company's own tools leave there. */
async function userFiles(folder: string, certs: string, certFile: string): Promise<void> {
  const own = join(certs, `${HOST}_5000_`);
  await mkdir(own);
  await cp(certFile, join(own, 'corp.crt'));
  await writeFile(join(folder, 'corp.toml'), `# of the company\nserver = "https://${NAME}"\nca = "corp.crt"\n`, {
    mode: 0o640,
  });
  await symlink('../../corp.toml', join(own, 'hosts.toml'));
}

async function fillStorage(folder: string, storage: string): Promise<void> {
  await using registry = await DockerRegistry.start({folder: join(folder, 'filling'), storage});
  const architecture = process.arch === 'arm64' ? 'arm64' : 'amd64';
  const spec = {
    mediaTypes: 'oci',
    platforms: [{architecture, layers: [seededLayer('one', 2 << 20), seededLayer('two', 300_000)]}],
  } as const;
  const image = await makeImage(join(folder, 'image'), spec);
  await new Skopeo(join(folder, 'skopeo')).push(image, `${registry.address}/team/private:v1`);
}

/** A pull of everything anew. @returns how long it took, in ms. */
async function pull({containerd}: Stage, ...flags: readonly string[]): Promise<number> {
  const begun = performance.now();
  await containerd.pull(IMAGE, ...flags);
  const took = performance.now() - begun;
  await containerd.forget(IMAGE);
  return Math.round(took);
}

/** Who asked the registry since the last question, without repeats. */
async function askers({registry}: Stage): Promise<string[]> {
  const entries = await registry.takeEntries();
  return [...new Set(entries.map(({userAgent}) => userAgent.split('/')[0] ?? ''))].toSorted();
}

const GET = `const r = await fetch(process.argv[1]); process.stdout.write(String(r.status));`;
const ANSWER_503 = `import {createServer} from 'node:http';
createServer((req, res) => res.writeHead(503).end('no')).listen(Number(process.argv[1]), '127.0.0.1', () => console.log('ready'));`;

async function untilNamed({certs, agent}: Stage, named: boolean): Promise<void> {
  await poll(`hosts.toml ${named ? 'names' : 'does not name'} the agent`, async () => {
    const text = await readFile(join(certs, `${HOST}_5000_`, 'hosts.toml'), 'utf8');
    return text.includes(agent.url) === named;
  });
}

for (const [what, isNew] of [
  ["Debian's containerd", false],
  ['containerd 2', true],
] as const) {
  test(`${what} with files that the agent wrote`, async (t) => {
    await using stack = new AsyncDisposableStack();
    const stage = await setUp(t, stack, isNew);
    if (stage === undefined) return;
    const {agent, machine, certs, before, folder} = stage;
    await untilNamed(stage, true);

    await t.test('pulls a private image by the credentials of the node, and all of it through the agent', async () => {
      await stage.registry.takeEntries();
      await pull(stage);
      assert.deepEqual(await askers(stage), ['noost']);
      await pull(stage);
      assert.ok((await agent.metric('noost_response_bytes_total', {source: 'cache'})) > 2 << 20, 'kept');
    });

    await t.test('which no other process of the node can read', async () => {
      const url = `${agent.url}/v2/team/private/manifests/v1?ns=${NAME}`;
      const args = ['--input-type=module', '--eval', GET, url];
      assert.equal((await machine.run(process.execPath, args, environment(folder))).toString(), '404');
      const none = join(folder, 'none');
      await mkdir(none);
      await assert.rejects(stage.containerd.ctr('images', 'pull', '--hosts-dir', none, IMAGE));
    });

    await t.test('with the agent killed: the registry itself is asked, as the user has configured it', async () => {
      await agent.stop('SIGKILL');
      await untilNamed(stage, true);
      await askers(stage);
      t.diagnostic(`killed: ${String(await pull(stage, ...OWN))} ms`);
      assert.deepEqual(await askers(stage), ['containerd']);
    });

    await t.test('with 503 in the place of the agent', async () => {
      const port = agent.address.split(':')[1] ?? '';
      const command = [...machine.inside, process.execPath, '--input-type=module', '--eval', ANSWER_503, port];
      await using server = new Child(command[0] ?? '', command.slice(1), {env: environment(folder)});
      await server.untilReady(() => server.lines.includes('ready'));
      t.diagnostic(`503: ${String(await pull(stage, ...OWN))} ms`);
      assert.deepEqual(await askers(stage), ['containerd']);
    });

    await t.test('after uninstall, and after the agent came back and was stopped: every file as it was', async () => {
      await agent.noostContainerd('uninstall', '--certs-dir', certs);
      assert.deepEqual(await describeTree(certs), before);
      await agent.restart();
      await untilNamed(stage, true);
      await agent.stop();
      assert.deepEqual(await describeTree(certs), before);
      t.diagnostic(`without: ${String(await pull(stage, ...OWN))} ms`);
      assert.deepEqual(await askers(stage), ['containerd']);
    });

    await t.test('with the agent hanging, until it is ended as the probe of the manifests does it', async () => {
      await agent.restart();
      await untilNamed(stage, true);
      agent.signal('SIGSTOP');
      const probe = endWhenDead(stage);
      t.diagnostic(`hanging: ${String(await pull(stage, ...OWN))} ms`);
      await probe;
      assert.deepEqual(await askers(stage), ['containerd']);
    });
  });
}

/** As the kubelet does with `livenessProbe` every 2 s, three times, 2 s each, and 5 s between SIGTERM and SIGKILL. */
async function endWhenDead({agent}: Stage): Promise<void> {
  for (let missed = 0; missed < 3;) {
    const answered = await Promise.race([agent.admin('/livez').catch(() => ''), delay(2_000, '')]);
    missed = answered === '' ? missed + 1 : 0;
    if (answered !== '') await delay(2_000);
  }
  agent.signal('SIGTERM');
  await delay(5_000);
  await agent.stop('SIGKILL');
}
