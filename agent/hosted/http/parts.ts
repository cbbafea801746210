import type {Repeats} from '../../http/repeats.ts';
import type {Sender} from '../../http/send.ts';
import type {Driver} from '../contract.ts';
import type {ManifestCache} from '../manifest-cache.ts';
import type {PushRules} from '../push.ts';
import type {Sessions} from '../sessions.ts';

/** What answers for hosted images are made from. */
export interface HostedParts {
  readonly driver: Driver;
  readonly sessions: Sessions;
  readonly manifests: ManifestCache;
  readonly rules: PushRules;
  readonly sender: Sender;
  readonly repeats: Repeats;
  readonly limits: () => {readonly maxManifestBytes: number; readonly maxBlobBytes: number};
}
