import type {StoreEvents} from './events.ts';
import type {Folder} from './folder.ts';
import type {HashPool} from './hash-pool.ts';
import type {IndexClient} from './index-client.ts';
import type {Memory} from './memory.ts';
import type {Pins} from './pins.ts';
import type {SideFiles} from './side-files.ts';

/** What the shelf is made from. */
export interface ShelfParts {
  readonly folder: Folder;
  readonly index: IndexClient;
  readonly memory: Memory;
  readonly pool: HashPool;
  readonly quarantine: SideFiles;
  readonly pins: Pins;
  readonly events: StoreEvents;
  readonly now: () => number;
  /** Blobs came or went, in bytes. */
  readonly used: (bytes: number) => void;
}
