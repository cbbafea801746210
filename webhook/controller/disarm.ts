import {setTimeout as delay} from 'node:timers/promises';
import type {KubeClient} from '../../kube/client.ts';
import {isNotFound} from '../../kube/error.ts';
import {NAMESPACES} from '../../kube/resources.ts';
import {SWITCH} from './arming.ts';
import {CONFIGURATIONS} from './webhook-configurations.ts';

export interface DisarmOptions {
  readonly client: KubeClient;
  readonly namespace: string;
  /** Of the configurations, which is that of the Service. @default noost-webhook */
  readonly name?: string;
  readonly signal?: AbortSignal | undefined;
}

/** A leader that had begun to write when the switch was thrown has written by then. */
const QUIET_MS = 1500;

/**
 * Takes the webhook out of the API server's way, and keeps it out: switches it off by its namespace's annotation, so that no
 * replica makes the configurations again, and deletes them. For `noost uninstall`, before the Deployment goes. Works with no
 * replica running.
 * @returns whether there was anything.
 */
export async function disarm({client, namespace, name = 'noost-webhook', signal}: DisarmOptions): Promise<boolean> {
  const merge = {metadata: {annotations: {[SWITCH]: 'off'}}};
  await unlessAbsent(client.patch(NAMESPACES, {name: namespace}, {merge}, {signal}));
  let isAny = false;
  for (let quietSince = performance.now(); performance.now() - quietSince < QUIET_MS;) {
    for (const type of Object.values(CONFIGURATIONS)) {
      if (!(await client.find(type, {name}, {signal}))) continue;
      await unlessAbsent(client.delete(type, {name}, {signal}));
      isAny = true;
      quietSince = performance.now();
    }
    await delay(200, undefined, signal ? {signal} : {});
  }
  return isAny;
}

async function unlessAbsent(work: Promise<unknown>): Promise<void> {
  try {
    await work;
  } catch (error) {
    if (!isNotFound(error)) throw error;
  }
}
