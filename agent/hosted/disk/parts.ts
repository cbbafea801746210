import type {Disk} from '../../store/disk.ts';
import type {Pins} from '../../store/pins.ts';
import type {DurableFiles} from './durable-files.ts';
import type {Suspects} from './suspects.ts';
import type {Places} from './places.ts';

/** What the parts of the disk driver share. */
export interface DiskParts {
  readonly places: Places;
  readonly files: DurableFiles;
  readonly suspects: Suspects;
  /** The store's disk. @throws {OciError} UNAVAILABLE while the data folder cannot be used. */
  readonly disk: () => Disk;
  readonly pins: () => Pins;
  readonly now: () => number;
}
