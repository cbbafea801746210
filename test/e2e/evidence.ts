import type {Kubernetes} from '../peers/kubernetes.ts';

/** Of each log; what went wrong is near its end. */
const LINES = '40';

/**
 * Does something on a cluster; if it fails, says with the failure what the cluster looked like, for afterwards it is gone.
 */
export async function withEvidence<T>(kubernetes: Kubernetes, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    console.error(await evidence(kubernetes));
    throw error;
  }
}

async function evidence(kubernetes: Kubernetes): Promise<string> {
  const all = 'app.kubernetes.io/name=noost';
  const asked: readonly (readonly string[])[] = [
    ['get', 'pods,nodes', '-A', '-o', 'wide'],
    ['get', 'events', '-A', '--sort-by=.lastTimestamp'],
    ['logs', '-n', 'noost-system', '-l', all, '--all-containers', '--prefix', '--tail', LINES],
    ['logs', '-n', 'noost-registry', '-l', all, '--all-containers', '--prefix', '--tail', LINES],
  ];
  const parts = asked.map(async (words) => {
    const said = await kubernetes.kubectl(words).catch((error: unknown) => (error as Error).message);
    return `$ kubectl ${words.join(' ')}\n${said}`;
  });
  return (await Promise.all(parts)).join('\n');
}
