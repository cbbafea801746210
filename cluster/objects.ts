import type {KubeObject} from '../kube/object.ts';

interface Container {
  readonly name: string;
  readonly args?: readonly string[];
}
/** What we read of the API's objects. */
export interface Pod extends KubeObject {
  readonly spec?: {readonly nodeName?: string; readonly containers?: readonly Container[]};
  readonly status?: {
    readonly phase?: string;
    readonly conditions?: readonly Condition[];
    readonly containerStatuses?: readonly {
      readonly ready?: boolean;
      readonly restartCount?: number;
      readonly state?: {readonly waiting?: {readonly reason?: string; readonly message?: string}};
    }[];
  };
}
export interface Node extends KubeObject {
  readonly status?: {
    readonly conditions?: readonly Condition[];
    readonly nodeInfo?: {readonly operatingSystem?: string};
  };
}
export interface DaemonSet extends KubeObject {
  readonly spec?: {
    readonly template?: {
      readonly spec?: {readonly containers?: readonly Container[]};
    };
  };
  readonly status?: {
    readonly observedGeneration?: number;
    readonly desiredNumberScheduled?: number;
    readonly updatedNumberScheduled?: number;
    readonly numberReady?: number;
  };
}
export interface Deployment extends KubeObject {
  readonly spec?: {readonly replicas?: number};
  readonly status?: {readonly readyReplicas?: number};
}
export interface WebhookConfiguration extends KubeObject {
  readonly webhooks?: readonly {readonly name: string; readonly failurePolicy?: string}[];
}
export interface Condition {
  readonly type: string;
  readonly status: string;
}

export function holds(conditions: readonly Condition[] | undefined, type: string): boolean {
  return conditions?.some((one) => one.type === type && one.status === 'True') ?? false;
}
