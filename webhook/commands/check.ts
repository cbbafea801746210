import process from 'node:process';
import {printImageReference} from '../../oci/image-reference.ts';
import {CommandError, EXIT, type Arguments, type Command} from '../../proc/command.ts';
import {printable} from '../../proc/printable.ts';
import {renderTable} from '../../proc/table.ts';
import {fromTrow} from '../check/from-trow.ts';
import {judgeObjects, type Judged} from '../check/judge-objects.ts';
import {notJudged, type NotJudged} from '../check/not-judged.ts';
import {readObjects} from '../check/read-objects.ts';
import {openSources, readLive} from '../check/sources.ts';
import type {ImageVerdict, Outcome} from '../policy/shape.ts';
import {POLICY_FLAGS, refuseProblems, sourcesOf, told} from './policy-flags.ts';

const COLUMNS = [{title: 'VERDICT'}, {title: 'OBJECT'}, {title: 'IMAGE'}, {title: 'WHY'}] as const;

/** `noost check` */
export const command: Command = {
  flags: [
    ...POLICY_FLAGS,
    {
      name: 'live',
      kind: 'text',
      description: 'Judges what runs in this namespace of the cluster',
      group: 'Manifests',
    },
    {
      name: 'namespace',
      kind: 'text',
      short: 'n',
      description: 'The namespace of objects that name none',
      group: 'Manifests',
      shownDefault: 'default',
    },
    {
      name: 'from-trow',
      kind: 'text',
      description: "Prints policies that do what the image_validation in this configuration of Trow's did",
      group: 'Output',
    },
  ],
  positionals: [
    {
      name: 'manifests',
      description: 'Files of YAML or JSON, folders, or - for standard input',
      optional: true,
      many: true,
    },
  ],
  examples: [
    ['$0 check -f policies/ deploy.yaml', 'manifests on disk by policies on disk: needs no cluster'],
    ['helm template chart | $0 check -f policies/ -', 'what a chart makes'],
    ['$0 check -f policies/ --live shop', 'new policies, before they are applied, by what runs'],
    ['$0 check deploy.yaml', "by the cluster's policies"],
    ['$0 check --from-trow trow.yaml > policies.yaml', 'moving over from Trow'],
  ],
  epilogue:
    'Exits with 0 if every image would be admitted, 1 if one would be refused, 2 if manifests or policies have errors.\n' +
    'No registry is asked: where the webhook pins, a tag counts as having its digest. docs/policies.md',
  run: async (typed) => (typed.flags['from-trow'] === undefined ? await told(() => check(typed)) : await trow(typed)),
};

async function check(typed: Arguments): Promise<number> {
  const {flags, rest = []} = typed;
  const [live, namespace] = [flags['live'], flags['namespace']];
  if (rest.length === 0 && typeof live !== 'string')
    throw new CommandError(EXIT.usage, 'Name manifests, or - for standard input, or --live NAMESPACE');
  const objects = await readObjects(rest);
  const opened = await openSources(sourcesOf(typed), objects, typeof live === 'string');
  try {
    refuseProblems(opened.policies.problems);
    if (typeof live === 'string' && opened.client !== undefined) objects.push(...(await readLive(opened.client, live)));
    const judged = judgeObjects(objects, {
      policies: opened.policies.set,
      identities: opened.identities,
      pins: opened.pins,
      nowMs: Date.now(),
      namespace: typeof namespace === 'string' ? namespace : 'default',
      labelsOf: (name) => opened.labelsOf(name),
    });
    print(judged, notJudged(objects), flags['json'] === true);
    return judged.some(({images}) => images.some(({allowed}) => !allowed)) ? EXIT.failed : EXIT.ok;
  } finally {
    opened.client?.[Symbol.dispose]();
  }
}

async function trow({flags}: Arguments): Promise<number> {
  const policies = await told(() => fromTrow(String(flags['from-trow'])));
  process.stdout.write(policies);
  return EXIT.ok;
}

function print(judged: readonly Judged[], others: readonly NotJudged[], asJson: boolean): void {
  const all = judged.flatMap(({images}) => images);
  const refused = all.filter(({allowed}) => !allowed).length;
  const warned = all.filter(({allowed, outcomes}) => allowed && outcomes.some(warns)).length;
  if (asJson) {
    const objects = judged.map(({images, ...object}) => ({...object, images: images.map(toJson)}));
    process.stdout.write(`${JSON.stringify({objects, images: all.length, refused, warned, notJudged: others})}\n`);
    return;
  }
  if (all.length > 0) process.stdout.write(renderTable(COLUMNS, judged.flatMap(rows)));
  process.stdout.write(
    `${all.length === 0 ? '' : '\n'}${count(all.length, 'image')} in ${count(judged.length, 'object')}: ${refused} refused, ${warned} with a warning\n`,
  );
  for (const {where, kind, name} of others)
    process.stderr.write(
      `Not judged: ${printable(`${where}: ${kind} ${name}`)} holds containers; its pods are judged when they are made\n`,
    );
}

function rows({where, kind, namespace, name, images}: Judged): string[][] {
  return images.map((verdict) => {
    const {image, outcomes, allowed} = verdict;
    const state = allowed ? (outcomes.some(warns) ? 'warned' : 'admitted') : 'refused';
    const why = outcomes.filter(({accepts, mode}) => !accepts && mode !== 'Audit').map(reasonOf);
    const place = `${where === 'cluster' ? '' : `${where}: `}${kind} ${namespace}/${name} ${image.path}`;
    return [state, place, image.written, why.join('; ')];
  });
}

function reasonOf({policy, rule, message}: Outcome): string {
  return `${policy.name}${rule === undefined ? '' : `, rule ${rule}`}: ${message}`;
}

function warns({accepts, mode}: Outcome): boolean {
  return !accepts && mode === 'Warn';
}

function toJson({image, allowed, outcomes}: ImageVerdict): object {
  const {path, field, name, written, identity} = image;
  const canonical = 'unreadable' in identity ? undefined : printImageReference(identity);
  return {path, field, name, image: written, canonical, allowed, outcomes};
}

function count(number: number, what: string): string {
  return `${number} ${what}${number === 1 ? '' : 's'}`;
}
