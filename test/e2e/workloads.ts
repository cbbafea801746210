import {stringify} from 'yaml';

/** A pod's specification that runs one image until it is told to end. */
function template(app: string, image: string, more: object = {}): object {
  const container = {
    name: 'main',
    image,
    command: ['/bin/busybox', 'sh', '-c', 'trap "exit 0" TERM; while :; do /bin/busybox sleep 1; done'],
  };
  return {
    metadata: {labels: {app}},
    spec: {terminationGracePeriodSeconds: 3, containers: [container], ...more},
  };
}

export function deployment(name: string, image: string, replicas = 2): string {
  const tolerations = ['not-ready', 'unreachable'].map((what) => ({
    key: `node.kubernetes.io/${what}`,
    operator: 'Exists',
    effect: 'NoExecute',
    tolerationSeconds: 5,
  }));
  return stringify({
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: {name},
    spec: {replicas, selector: {matchLabels: {app: name}}, template: template(name, image, {tolerations})},
  });
}

export function daemonSet(name: string, image: string): string {
  return stringify({
    apiVersion: 'apps/v1',
    kind: 'DaemonSet',
    metadata: {name},
    spec: {selector: {matchLabels: {app: name}}, template: template(name, image)},
  });
}

/** A bare pod, on a node if one is named. */
export function pod(name: string, image: string, more: object = {}): string {
  const {metadata, spec} = template(name, image, more) as {metadata: object; spec: object};
  return stringify({apiVersion: 'v1', kind: 'Pod', metadata: {name, ...metadata}, spec});
}
