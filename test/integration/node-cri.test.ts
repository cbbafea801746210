import assert from 'node:assert/strict';
import {join} from 'node:path';
import {test} from 'node:test';
import {askers, IMAGE, newNodeStage, untilNamed, type NodeStage} from '../node-stage.ts';
import {CONTAINERDS_WITH_CRI} from '../peers/containerd2.ts';
import {Cri} from '../peers/cri.ts';
import {goPrograms} from '../peers/go-program.ts';

/** Snapshots wherever the test's folder is; nothing outside of it. */
const OLD = `
[plugins."io.containerd.grpc.v1.cri".containerd]
snapshotter = "native"
[plugins."io.containerd.grpc.v1.cri".cni]
conf_dir = "FOLDER/cni"
[plugins."io.containerd.grpc.v1.cri".registry]
`;
const NEW = `
[plugins."io.containerd.cri.v1.runtime".cni]
conf_dir = "FOLDER/cni"
[[plugins."io.containerd.transfer.v1.local".unpack_config]]
platform = "linux"
snapshotter = "native"
[plugins."io.containerd.cri.v1.images"]
snapshotter = "native"
`;
const NEW_REGISTRY = '[plugins."io.containerd.cri.v1.images".registry]\n';
const ONE = 'config_path = "FOLDER/certs.d"\n';
const LIST = 'config_path = "FOLDER/certs.d:/etc/docker/certs.d"\n';

interface Case {
  readonly what: string;
  /** @default Debian's 1.6 */
  readonly built?: keyof typeof CONTAINERDS_WITH_CRI;
  readonly more: string;
  /** Whether what the kubelet pulls comes through the agent, and what `doctor` says of the configuration. */
  readonly works: boolean;
  readonly problems: readonly string[];
}

const EKS = `${NEW}discard_unpacked_layers = true\n${NEW_REGISTRY}${LIST}`;
const CASES: readonly Case[] = [
  {what: 'one folder', more: OLD + ONE, works: true, problems: []},
  {what: 'a list', more: OLD + LIST, works: true, problems: ['list']},
  {what: 'no folder', more: OLD, works: false, problems: ['not-set']},
  {built: '1.7.27', what: 'one folder', more: OLD + ONE, works: true, problems: []},
  {built: '2.0.5', what: 'one folder', more: NEW + NEW_REGISTRY + ONE, works: true, problems: []},
  {built: '2.0.5', what: 'no folder', more: NEW + NEW_REGISTRY, works: false, problems: ['not-set']},
  {built: '2.2.0', what: 'one folder', more: NEW + NEW_REGISTRY + ONE, works: true, problems: []},
  {built: '2.2.0', what: 'no folder', more: NEW + NEW_REGISTRY, works: false, problems: ['not-set']},
  {built: '2.2.0', what: 'a list', more: NEW + NEW_REGISTRY + LIST, works: false, problems: ['list']},
  {built: '2.2.0', what: 'a list as EKS has it', more: EKS, works: true, problems: []},
];

async function problemsOf({agent, folder}: NodeStage): Promise<string[]> {
  const flags = ['--containerd-config', join(folder, 'config.toml'), '--url', agent.url, '--json'];
  // It ends with 1 if there are problems, and says them all the same.
  const text = await agent.noostContainerd('doctor', ...flags).catch((error: unknown) => (error as Error).message);
  const {problems} = JSON.parse(text.slice(text.indexOf('{'))) as {problems: {code: string}[]};
  return problems.map(({code}) => code).filter((code) => code !== 'hides-default' && code !== 'not-installed');
}

for (const {what, built, more, works, problems} of CASES) {
  const name = `${built === undefined ? "Debian's containerd" : `containerd ${built}`} with ${what}`;
  test(`${name}: the kubelet's pulls ${works ? 'come through the agent' : 'pass it by'}, and doctor knows`, async (t) => {
    await using stack = new AsyncDisposableStack();
    const programs = built === undefined ? undefined : await goPrograms(t, CONTAINERDS_WITH_CRI[built]);
    if (built !== undefined && programs === undefined) return;
    const version = more.startsWith(NEW) ? 3 : 2;
    const own = programs === undefined ? {} : {programs};
    const stage = await newNodeStage(t, stack, {version, more, cri: true, ...own});
    if (stage === undefined) return;
    if (problems.length === 0) await untilNamed(stage, true);
    using cri = new Cri(stage.containerd.socket);
    await stage.registry.takeEntries();
    if (works) {
      await cri.pull(IMAGE);
      assert.deepEqual(await askers(stage), ['noost']);
    } else {
      await assert.rejects(cri.pull(IMAGE)); // a private image, and no credentials but the agent's
      assert.ok(!(await askers(stage)).includes('noost'));
    }
    assert.deepEqual(await problemsOf(stage), problems);
  });
}
