import process from 'node:process';
import {printImageReference} from '../../oci/image-reference.ts';
import {EXIT, type Arguments, type Command} from '../../proc/command.ts';
import {printable} from '../../proc/printable.ts';
import {renderTable} from '../../proc/table.ts';
import {openSources} from '../check/sources.ts';
import {judgeAhead} from '../policy/judge.ts';
import type {ImageInQuestion, ImageVerdict, Subject} from '../policy/shape.ts';
import {labelsOf, POLICY_FLAGS, refuseProblems, sourcesOf, told} from './policy-flags.ts';

const COLUMNS = [{title: 'POLICY'}, {title: 'MODE'}, {title: 'ACCEPTS'}, {title: 'RULE'}, {title: 'WHY'}] as const;

/** `noost explain IMAGE` */
export const command: Command = {
  flags: [
    {
      name: 'namespace',
      kind: 'text',
      short: 'n',
      description: 'Where the pod would be',
      group: 'Pod',
      shownDefault: 'default',
    },
    {
      name: 'service-account',
      kind: 'text',
      description: 'Whose pod it would be',
      group: 'Pod',
      shownDefault: 'default',
    },
    {
      name: 'labels',
      kind: 'text',
      short: 'l',
      many: true,
      description: 'Labels of the pod as key=value; may be repeated',
      group: 'Pod',
    },
    ...POLICY_FLAGS,
  ],
  positionals: [{name: 'image', description: 'As it would be written in a pod, such as nginx:1.29'}],
  examples: [
    ['$0 explain nginx:latest -n shop', "what the cluster's policies say to it"],
    ['$0 explain quay.io/acme/debug:1 -f policies/ --namespace-labels env=prod', 'what policies on disk say'],
  ],
  epilogue: 'Exits with 0 if it would be admitted, 1 if it would be refused, 2 if policies have errors.',
  run: (typed) => told(() => explain(typed)),
};

async function explain(typed: Arguments): Promise<number> {
  const {flags, positionals} = typed;
  const written = positionals['image'] ?? '';
  const opened = await openSources(sourcesOf(typed), [], false);
  try {
    refuseProblems(opened.policies.problems);
    const namespace = textOf(flags['namespace'], 'default');
    const subject: Subject = {
      namespace,
      namespaceLabels: {'kubernetes.io/metadata.name': namespace, ...opened.labelsOf(namespace)},
      podLabels: labelsOf('labels', flags['labels']),
      serviceAccount: textOf(flags['service-account'], 'default'),
    };
    const image: ImageInQuestion = {
      path: 'spec.containers[0].image',
      pointer: '/spec/containers/0/image',
      field: 'container',
      name: '',
      written,
      pullPolicy: undefined,
      identity: opened.identities.of(written),
      resolution: undefined,
    };
    const {images} = judgeAhead(opened.policies.set, {subject, images: [image]}, Date.now(), opened.pins);
    const [verdict] = images;
    if (verdict === undefined) return EXIT.ok; // there is one for each image
    process.stdout.write(flags['json'] === true ? asJson(verdict, subject) : asText(verdict, subject, opened.pins));
    return verdict.allowed ? EXIT.ok : EXIT.failed;
  } finally {
    opened.client?.[Symbol.dispose]();
  }
}

function textOf(value: Arguments['flags'][string], otherwise: string): string {
  return typeof value === 'string' ? value : otherwise;
}

function asJson({image, allowed, outcomes}: ImageVerdict, subject: Subject): string {
  return `${JSON.stringify({image: image.written, canonical: canonicalOf(image), subject, allowed, outcomes})}\n`;
}

function asText({image, allowed, outcomes}: ImageVerdict, subject: Subject, pins: boolean): string {
  const canonical = canonicalOf(image);
  const isTag = !('unreadable' in image.identity) && image.identity.digest === undefined;
  const reading = 'unreadable' in image.identity ? `cannot be read: ${image.identity.unreadable}` : (canonical ?? '');
  const lines = [
    `image      ${printable(image.written, 512)}`,
    `read as    ${reading}${isTag && pins ? ', pinned to the digest that the tag has' : ''}`,
    `pod        namespace ${subject.namespace}, service account ${subject.serviceAccount}`,
    `verdict    ${allowed ? 'admitted' : 'refused'}`,
    '',
    '',
  ];
  if (outcomes.length === 0) return `${lines.join('\n')}No policy applies to such a pod.\n`;
  const rows = outcomes.map(({policy, mode, accepts, rule, message, exception}) => [
    `${policy.kind} ${policy.name}`,
    mode,
    accepts ? 'yes' : 'no',
    rule ?? (exception === undefined ? '–' : `exception ${exception}`),
    message === '' ? '–' : message,
  ]);
  const fixes = new Set(
    outcomes.filter(({accepts}) => !accepts).map(({fix}) => `to be admitted: ${printable(fix, 512)}`),
  );
  return `${lines.join('\n')}${renderTable(COLUMNS, rows)}${[...fixes].map((fix) => `\n${fix}\n`).join('')}`;
}

function canonicalOf({identity}: ImageInQuestion): string | undefined {
  return 'unreadable' in identity ? undefined : printImageReference(identity);
}
