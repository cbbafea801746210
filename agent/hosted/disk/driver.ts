import {OciError} from '../../../oci/error.ts';
import {Folder, hostIn} from '../../store/folder.ts';
import type {Disk} from '../../store/disk.ts';
import type {DiskStore} from '../../store/disk-store.ts';
import type {LocalStore} from '../../store/local-store.ts';
import type {Driver} from '../contract.ts';
import {DiskContent} from './content.ts';
import {DurableFiles} from './durable-files.ts';
import {DiskMetadata} from './metadata.ts';
import type {DiskParts} from './parts.ts';
import {Places} from './places.ts';
import {Suspects} from './suspects.ts';

/**
 * Images that are hosted on the node's own disk, beside its cache (ADR 0005). Where the store heals, they are back.
 * @param root the data folder.
 * @param failed what went wrong with nobody to tell.
 */
export function newDiskDriver(
  root: string,
  store: DiskStore,
  {now = Date.now, failed}: {readonly now?: () => number; readonly failed: (error: unknown) => void},
): Driver {
  const folder = new Folder(root);
  let ready: LocalStore | undefined;
  const disk = (): Disk => {
    const {local} = store;
    if (local === undefined) throw new OciError('UNAVAILABLE', 'The data folder of this registry cannot be used now');
    if (local !== ready) {
      hostIn(local.disk.folder);
      ready = local;
      content.releaseSuspects().catch(failed);
    }
    return local.disk;
  };
  const places = new Places(folder);
  const parts: DiskParts = {
    get places() {
      disk(); // which makes what they are in
      return places;
    },
    files: new DurableFiles(folder.temporary),
    suspects: new Suspects(folder.suspects),
    disk,
    pins: () => disk().pins,
    now,
  };
  const content = new DiskContent(parts);
  try {
    if (store.local !== undefined) disk();
  } catch (error) {
    failed(error); // a disk that cannot be written now may heal
  }
  return {metadata: new DiskMetadata(parts), content, close: () => content.close()};
}
