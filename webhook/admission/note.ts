import {printImageReference} from '../../oci/image-reference.ts';
import {refusing} from '../policy/refusing.ts';
import type {ImageVerdict, Verdict} from '../policy/shape.ts';
import type {ImageNote} from './decision.ts';
import {isReadable} from './identity.ts';

/** What the audit line says of each image. */
export function notesOf({images}: Verdict): readonly ImageNote[] {
  return images.map(noteOf);
}

function noteOf({image, outcomes}: ImageVerdict): ImageNote {
  const {path, written, identity} = image;
  const refused = refusing(outcomes).map(
    ({policy, mode, reason, rule}) => `${policy.name}${rule === undefined ? '' : `/${rule}`}: ${reason} (${mode})`,
  );
  return {
    path,
    written,
    ...(isReadable(identity) ? {canonical: printImageReference(identity)} : {left: 'unreadable' as const}),
    ...(refused.length === 0 ? {} : {refused}),
  };
}
