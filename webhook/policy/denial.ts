import {printImageReference} from '../../oci/image-reference.ts';
import {printable} from '../../proc/printable.ts';
import {refusing} from './refusing.ts';
import type {ImageField, ImageInQuestion, ImageVerdict, Outcome, PolicyName, Verdict} from './shape.ts';

/** What kubectl shows in one piece; the API server passes on more, but nobody reads it. */
const MAX_MESSAGE = 1024;
/** The API server's own bounds of warnings: longer ones are cut, more are dropped. */
const MAX_WARNING = 256;
const MAX_WARNINGS = 4096;
/** Of a reference, which may be 500 characters long, in a message of several. */
const SHORT_REFERENCE = 60;

const FIELD: Readonly<Record<ImageField, string>> = {
  container: 'container',
  initContainer: 'init container',
  ephemeralContainer: 'ephemeral container',
  imageVolume: 'image volume',
};

/**
 * Why a pod was refused, for whom kubectl shows it to: every offending image with its field, what it means, policy and
 * rule, what was found and how to fix it; as much of that as has room, but every image as long as there is any.
 * @returns at most 1 KiB; empty for a verdict that allows.
 */
export function denialMessage(verdict: Verdict, decisionId: string): string {
  const offending = verdict.images.filter(({allowed}) => !allowed);
  if (offending.length === 0) return '';
  const [head, tail] = [headline(offending), `decision ${decisionId}`];
  const room = MAX_MESSAGE - Buffer.byteLength(head) - Buffer.byteLength(tail) - 2;
  for (const tell of [inFull, inShort]) {
    const lines = offending.map(tell).join('\n');
    if (Buffer.byteLength(lines) <= room) return [head, lines, tail].join('\n');
  }
  return [head, fitting(offending.map(inBrief), room), tail].join('\n');
}

/** What policies that only warn have to say. At most 4 KiB, 256 bytes each. */
export function warningsOf(verdict: Verdict): string[] {
  return boundWarnings(
    eachRefusal(verdict, ({mode}) => mode === 'Warn').map(
      ([image, outcome]) => `${brief(image, outcome)}: ${why(image, outcome)}`,
    ),
  );
}

/** The same for a template: what pods made from it will be told. */
export function earlyWarningsOf(verdict: Verdict): string[] {
  const refusals = eachRefusal(verdict, ({mode}) => mode !== 'Audit');
  return boundWarnings(
    refusals.map(([image, outcome]) => {
      const text = `${brief(image, outcome)}: ${why(image, outcome)}`;
      return outcome.mode === 'Enforce' ? `pods of this will be refused: ${text}` : text;
    }),
  );
}

/** Warnings as the API server takes them whole: each on one line, the last saying how many had no room. */
export function boundWarnings(warnings: readonly string[]): string[] {
  const kept: string[] = [];
  let room = MAX_WARNINGS - MAX_WARNING;
  for (const [i, warning] of warnings.entries()) {
    const text = cut(printable(warning), MAX_WARNING);
    room -= Buffer.byteLength(text);
    if (room < 0) return [...kept, `and ${warnings.length - i} more warnings`];
    kept.push(text);
  }
  return kept;
}

function headline(offending: readonly ImageVerdict[]): string {
  return offending.length === 1
    ? 'the image policies do not accept an image:'
    : `the image policies do not accept ${offending.length} images:`;
}

/** The refusals that count, by images and then policies. */
function eachRefusal(
  {images}: Verdict,
  counts: (outcome: Outcome) => boolean,
): (readonly [ImageInQuestion, Outcome])[] {
  return images.flatMap(({image, outcomes}) =>
    refusing(outcomes)
      .filter(counts)
      .map((outcome) => [image, outcome] as const),
  );
}

function refusals({outcomes}: ImageVerdict): Outcome[] {
  return refusing(outcomes).filter(({mode}) => mode === 'Enforce');
}

function inFull(verdict: ImageVerdict): string {
  const {image} = verdict;
  const head = `- ${FIELD[image.field]} ${printable(image.name, 63)} (${image.path}): ${reference(image)}${meaning(image)}`;
  const outcomes = refusals(verdict).map((outcome) => `  ${who(outcome)}: ${why(image, outcome)}; fix: ${outcome.fix}`);
  return [head, ...outcomes].join('\n');
}

function inShort(verdict: ImageVerdict): string {
  const {image} = verdict;
  const outcomes = refusals(verdict).map((outcome) => `${who(outcome)}: ${why(image, outcome)}`);
  return `- ${image.path}: ${reference(image, SHORT_REFERENCE)}; ${outcomes.join('; ')}`;
}

function inBrief(verdict: ImageVerdict): string {
  const outcomes = refusals(verdict);
  const [first] = outcomes;
  const more = outcomes.length > 1 ? ` and ${outcomes.length - 1} more` : '';
  return `- ${verdict.image.path}: ${reference(verdict.image, SHORT_REFERENCE)}; ${first === undefined ? '' : who(first)}${more}`;
}

/** As many of the lines as there is room for. */
function fitting(lines: readonly string[], room: number): string {
  const kept: string[] = [];
  let left = room - Buffer.byteLength(`and ${lines.length} more images`);
  for (const line of lines) {
    left -= Buffer.byteLength(line) + 1;
    if (left < 0) return [...kept, `and ${lines.length - kept.length} more images`].join('\n');
    kept.push(line);
  }
  return kept.join('\n');
}

function brief(image: ImageInQuestion, outcome: Outcome): string {
  return `${image.path} ${reference(image, SHORT_REFERENCE)}: ${who(outcome)}`;
}

/** `policy production, rule say-which` */
function who({policy, rule}: Outcome): string {
  return `${policyText(policy)}${rule === undefined ? '' : `, rule ${rule}`}`;
}

function policyText({kind, name}: PolicyName): string {
  return kind === 'ClusterImagePolicy' ? `policy ${name}` : `ImagePolicy ${name}`;
}

/** The policy's sentence, and what is special of this image. */
function why({identity, resolution}: ImageInQuestion, {reason, message}: Outcome): string {
  if (reason === 'reference-unreadable' && 'unreadable' in identity) return `the reference ${identity.unreadable}`;
  if (reason === 'digest-missing' && resolution?.found === false)
    return `${message}, and none was found: ${printable(resolution.why, 200)}`;
  if (reason === 'tag-unproven' && resolution !== undefined)
    return `${message}: ${resolution.found ? `the registry has ${resolution.digest}` : printable(resolution.why, 200)}`;
  return message;
}

function reference({written}: ImageInQuestion, maxLength = 520): string {
  if (written === '') return '(no image)';
  const text = printable(written, maxLength);
  return /^\S+$/.test(text) ? text : `"${text}"`;
}

/** The canonical name, where it is not what was written, and the digest, where it is not said there. */
function meaning({written, identity, resolution}: ImageInQuestion): string {
  if ('unreadable' in identity) return '';
  const canonical = printImageReference(identity);
  const name = canonical === written ? '' : `, which is ${canonical}`;
  return resolution?.found === true && identity.digest === undefined ? `${name}, now ${resolution.digest}` : name;
}

function cut(text: string, maxBytes: number): string {
  if (Buffer.byteLength(text) <= maxBytes) return text;
  const room = maxBytes - Buffer.byteLength('…');
  // A character that does not fit as a whole is left out: what is cut apart decodes to U+FFFD.
  return `${Buffer.from(text)
    .subarray(0, room)
    .toString()
    .replace(/\uFFFD+$/, '')}…`;
}
