import {cp, mkdir, mkdtempDisposable, readFile, symlink, writeFile} from 'node:fs/promises';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import type {TestContext} from 'node:test';
import {AgentRig} from './agent-rig.ts';
import {needs} from './needs.ts';
import {describeTree} from './node-tree.ts';
import {CertificateAuthority} from './peers/certificate-authority.ts';
import {Containerd, type ContainerdOptions} from './peers/containerd.ts';
import {DockerRegistry} from './peers/docker-registry.ts';
import {makeImage} from './peers/image.ts';
import {Machine} from './peers/machine.ts';
import {seededLayer} from './peers/sample-images.ts';
import {Skopeo} from './peers/skopeo.ts';
import {poll} from './poll.ts';

const HOST = 'registry.test';
const ADDRESS = '127.0.0.13';
export const NAME = `${HOST}:5000`;
export const IMAGE = `${NAME}/team/private:v1`;
export const LOGIN = {username: 'node', password: 'swordfish'};
/** A node with a containerd, a private registry that its user has configured, and an agent that configures the rest. */
export interface NodeStage {
  readonly folder: string;
  readonly certs: string;
  readonly machine: Machine;
  readonly registry: DockerRegistry;
  readonly agent: AgentRig;
  readonly containerd: Containerd;
  /** The user's files as they were. */
  readonly before: readonly string[];
}

/** @returns `undefined` if the test was skipped. */
export async function newNodeStage(
  t: TestContext,
  stack: AsyncDisposableStack,
  containerdOptions: ContainerdOptions = {},
): Promise<NodeStage | undefined> {
  if (!needs(t, 'root', 'containerd', 'ctr', 'docker-registry', 'skopeo', 'htpasswd', 'openssl', 'ip', 'unshare'))
    return undefined;
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
  const containerd = stack.use(await Containerd.start(machine, folder, containerdOptions));
  const certs = join(folder, 'certs.d');
  await userFiles(folder, certs, ca.certFile);
  const before = await describeTree(certs);
  await writeFile(join(folder, 'password'), LOGIN.password);
  const credentials = {username: LOGIN.username, passwordFile: join(folder, 'password')};
  const upstreams = [{host: NAME, url: `https://${NAME}`, tls: {caFile: ca.certFile}, credentials}];
  // What serves the kubelet says itself where it reads hosts.toml.
  const said = containerdOptions.cri === true ? {} : {certsDir: certs};
  const node = {configure: 'containerd', containerdConfig: join(folder, 'config.toml'), ...said};
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

/** Who asked the registry since the last question, without repeats. */
export async function askers({registry}: NodeStage): Promise<string[]> {
  const entries = await registry.takeEntries();
  return [...new Set(entries.map(({userAgent}) => userAgent.split('/')[0] ?? ''))].toSorted();
}

/** Waits until the private registry's file names the agent, or does not. */
export async function untilNamed({certs, agent}: NodeStage, named: boolean): Promise<void> {
  await poll(`hosts.toml ${named ? 'names' : 'does not name'} the agent`, async () => {
    const text = await readFile(join(certs, `${HOST}_5000_`, 'hosts.toml'), 'utf8');
    return text.includes(agent.url) === named;
  });
}
