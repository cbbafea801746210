import type {ProcessLog} from '../proc/log.ts';
import type {Hosted} from './hosted/hosted.ts';
import type {Metrics} from './metrics.ts';
import type {Puller} from './pull/puller.ts';
import type {DiskStore} from './store/disk-store.ts';

/** Sets what is looked at for each scrape and not counted as it happens. */
export async function refreshGauges({
  metrics,
  store,
  puller,
  hosted,
  log,
}: {
  readonly metrics: Metrics;
  readonly store: DiskStore;
  readonly puller: Puller;
  readonly hosted: Hosted | undefined;
  readonly log: ProcessLog;
}): Promise<void> {
  const usage = await store.usage();
  metrics.cacheBytes.set(usage.sizeBytes);
  metrics.cacheMaxBytes.set(usage.maxBytes);
  metrics.cacheCapacityBytes.set(usage.capacityBytes);
  metrics.cacheObjects.set({kind: 'blob'}, usage.blobs);
  metrics.cacheObjects.set({kind: 'manifest'}, usage.manifests);
  metrics.cacheObjects.set({kind: 'tag'}, usage.tags);
  metrics.diskFree.set(usage.diskFreeBytes);
  metrics.fillsInflight.set(puller.blobs.inFlight);
  metrics.uploadsOpen.set(hosted?.uploads ?? 0);
  const hostedUsage = await store.hostedUsage();
  metrics.hostedBytes.set(hostedUsage.sizeBytes);
  metrics.hostedObjects.set(hostedUsage.blobs);
  const dropped = log.droppedLines;
  metrics.logDropped.reset();
  metrics.logDropped.inc(dropped);
}
