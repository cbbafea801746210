import {readdirSync, readFileSync} from 'node:fs';
import {readFile} from 'node:fs/promises';
import {join} from 'node:path';
import {poll} from '../poll.ts';
import {type ClusterRig, isReady, type Pod, POD_MS} from './rig.ts';

/** The process of a pod's only container, as this machine numbers it. */
export async function pidOf(rig: ClusterRig, {spec, status}: Pod): Promise<number> {
  const id = status?.containerStatuses?.[0]?.containerID?.replace('containerd://', '') ?? '';
  const table = await rig.kubernetes.on(spec.nodeName ?? '', ['ctr', '-n', 'k8s.io', 'tasks', 'ls']);
  const line = table.split('\n').find((one) => one.startsWith(id)) ?? '';
  const pid = Number(line.split(/\s+/)[1]);
  if (id === '' || !Number.isInteger(pid) || pid <= 1)
    throw new Error(`No process of ${spec.nodeName ?? ''}'s agent:\n${table}`);
  return pid;
}

/** The agent of the same node when its container has been started again and is ready. */
export function restarted(rig: ClusterRig, agent: Pod): Promise<Pod> {
  const restarts = ({status}: Pod): number => status?.containerStatuses?.[0]?.restartCount ?? 0;
  const again = async (): Promise<Pod | undefined> => {
    const now = await rig.agentOn(agent.spec.nodeName ?? '');
    return restarts(now) > restarts(agent) && isReady(now) ? now : undefined;
  };
  return poll('the agent is started again', again, POD_MS);
}

/** The kubelet of a node: stopped, the node is lost for the cluster, and its containers go on. */
export async function kubeletOf(rig: ClusterRig, node: string): Promise<number> {
  const parent = Number(await readFile(join(rig.kubernetes.folder, 'pid', node), 'utf8'));
  const found = readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .find((name) => {
      try {
        const status = readFileSync(`/proc/${name}/status`, 'utf8');
        return /^Name:\tkubelet$/m.test(status) && new RegExp(`^PPid:\t${String(parent)}$`, 'm').test(status);
      } catch {
        return false; // it has ended meanwhile
      }
    });
  if (found === undefined) throw new Error(`${node} has no kubelet`);
  return Number(found);
}
