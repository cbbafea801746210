import {randomUUID} from 'node:crypto';

/** Images of a pod of the bench; the registry has `acme/app-0` to `acme/app-2` under the tag v1. */
export const IMAGES: readonly string[] = [0, 1, 2].map((i) => `reg.test/acme/app-${String(i)}:v1`);

/** A pod with what the API server and its controllers put into one: about 4 KB. */
export function newPod(images: readonly string[], metadata: object = {name: 'app'}): object {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {labels: {app: 'bench', 'pod-template-hash': '5d4f8c7b6'}, ...metadata},
    spec: {
      containers: images.map((image, i) => ({
        name: `c${String(i)}`,
        image,
        imagePullPolicy: 'IfNotPresent',
        env: Array.from({length: 10}, (_, n) => ({
          name: `VARIABLE_${String(n)}`,
          value: `a value of number ${String(n)}`,
        })),
        resources: {requests: {cpu: '10m', memory: '16Mi'}},
        terminationMessagePath: '/dev/termination-log',
        terminationMessagePolicy: 'File',
      })),
      restartPolicy: 'Always',
      dnsPolicy: 'ClusterFirst',
      serviceAccountName: 'default',
    },
  };
}

/** As the API server sends it. */
export function newReview(pod: object, namespace: string): string {
  const request = {
    uid: randomUUID(),
    kind: {group: '', version: 'v1', kind: 'Pod'},
    resource: {group: '', version: 'v1', resource: 'pods'},
    requestKind: {group: '', version: 'v1', kind: 'Pod'},
    requestResource: {group: '', version: 'v1', resource: 'pods'},
    name: 'app',
    namespace,
    operation: 'CREATE',
    userInfo: {
      username: 'system:serviceaccount:kube-system:replicaset-controller',
      groups: ['system:serviceaccounts', 'system:serviceaccounts:kube-system', 'system:authenticated'],
    },
    object: pod,
    oldObject: null,
    dryRun: false,
    options: {kind: 'CreateOptions', apiVersion: 'meta.k8s.io/v1'},
  };
  return JSON.stringify({kind: 'AdmissionReview', apiVersion: 'admission.k8s.io/v1', request});
}
