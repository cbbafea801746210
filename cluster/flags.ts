import {connect} from '../kube/connect.ts';
import type {KubeClient} from '../kube/client.ts';
import {KubeError} from '../kube/error.ts';
import {CommandError, EXIT, type Arguments, type Flag} from '../proc/command.ts';
import {VERSION} from '../proc/version.ts';

/** Of every command that is for a whole cluster. */
export const CLUSTER_FLAGS: readonly Flag[] = [
  {
    name: 'kubeconfig',
    kind: 'text',
    description: 'How to reach the cluster (KUBECONFIG)',
    shownDefault: 'as kubectl',
    group: 'Cluster',
  },
  {
    name: 'namespace',
    kind: 'text',
    short: 'n',
    description: 'Where Noost runs',
    shownDefault: 'noost-system',
    group: 'Cluster',
  },
  {name: 'json', kind: 'boolean', description: 'Prints JSON', group: 'Output'},
];

export interface ClusterArguments {
  readonly namespace: string;
  readonly json: boolean;
}

/** Runs something with a client for the cluster that is meant; what the API server says is told in its own words. */
export async function onCluster(
  {flags}: Arguments,
  work: (client: KubeClient, asked: ClusterArguments) => Promise<number>,
): Promise<number> {
  const said = (name: string): string | undefined => {
    const value = flags[name];
    return typeof value === 'string' && value !== '' ? value : undefined;
  };
  try {
    using client = await connect({kubeconfig: said('kubeconfig'), userAgent: `noost/${VERSION}`});
    return await work(client, {namespace: said('namespace') ?? 'noost-system', json: flags['json'] === true});
  } catch (error) {
    if (!(error instanceof KubeError)) throw error;
    const message =
      error.code === 401
        ? `The API server does not take these credentials (401 ${error.message}): they are wrong or have expired. ` +
          'What does kubectl auth whoami say, with the same kubeconfig?'
        : error.message;
    throw new CommandError(EXIT.failed, message, {cause: error});
  }
}
