import assert from 'node:assert/strict';
import {globSync, readFileSync} from 'node:fs';
import {basename, dirname, join} from 'node:path';
import {test} from 'node:test';

/** What each room may import besides itself (design §3). docs/architecture.md draws it; this holds it. */
const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  oci: [],
  kube: [],
  proc: [],
  agent: ['oci', 'kube', 'proc'],
  webhook: ['oci', 'kube', 'proc'],
  cluster: ['oci', 'kube', 'proc', 'agent', 'webhook'],
  bench: ['oci', 'kube', 'proc', 'agent', 'webhook', 'test'],
  test: ['oci', 'kube', 'proc', 'agent', 'webhook', 'cluster', 'bench', 'image'],
  image: [],
};
/** The command line knows both processes, but loads neither before it is asked for one. */
const COMMAND_LINE = 'proc/cli.ts';
const LAZILY = ['agent', 'webhook', 'cluster'];
/** The configuration's section `upstreams` is in oci/, because both processes have it, and in the configuration's grammar. */
const UPSTREAMS_SECTION = /^oci\/upstream-(?:schema|rules|files|render)\.ts$/;
const GRAMMAR = /^proc\/config\//;
const MAX_LINES = 300;

interface Import {
  readonly file: string;
  readonly path: string;
  readonly lazy: boolean;
}

const CHECKOUT = dirname(import.meta.dirname);
/** This file's examples are not imports. */
const SELF = 'test/rooms.test.ts';
const FILES = Object.keys(MAY_IMPORT)
  .flatMap((room) => globSync(`${room}/**/*.ts`, {cwd: CHECKOUT}).toSorted())
  .filter((file) => file !== SELF);

function read(file: string): string {
  return readFileSync(join(CHECKOUT, file), 'utf8');
}

/** Static, re-exporting and dynamic imports by relative path, and workers started by one. */
function importsOf(file: string, text: string): Import[] {
  const found = text.matchAll(/\b(?:from|import|(import\s*\(|new\s+URL\s*\())\s*'(\.[^']+\.ts)'/g);
  return [...found].map(([, lazy, path = '']) => ({file, path, lazy: lazy !== undefined}));
}

function roomOf(path: string): string {
  return path.split('/')[0] ?? '';
}

function isAllowed({file, path, lazy}: Import): boolean {
  const imported = join(dirname(file), path);
  const [room, target] = [roomOf(file), roomOf(imported)];
  if (room === target || MAY_IMPORT[room]?.includes(target)) return true;
  if (file.endsWith('.test.ts')) return target === 'test';
  if (UPSTREAMS_SECTION.test(file)) return GRAMMAR.test(imported);
  return file === COMMAND_LINE && lazy && LAZILY.includes(target);
}

for (const [room, others] of Object.entries(MAY_IMPORT)) {
  test(`${room}/ imports ${others.join(', ') || 'no other room'}`, () => {
    const files = FILES.filter((file) => roomOf(file) === room);
    const forbidden = files.flatMap((file) => importsOf(file, read(file))).filter((one) => !isAllowed(one));
    assert.deepEqual(forbidden, []);
  });
}

for (const [name, file, text, allowed] of [
  ['a room that is not its own', 'oci/a.ts', `import {b} from '../agent/b.ts';`, false],
  ['a type', 'proc/a.ts', `import type {B} from '../oci/b.ts';`, false],
  ['a re-export', 'agent/a/b.ts', `export {c} from '../../webhook/c.ts';`, false],
  ['for its effects', 'webhook/a.ts', `import '../agent/b.ts';`, false],
  ['the agent, lazily, by another file', 'proc/log.ts', `await import('../agent/main.ts')`, false],
  ['the agent at once, by the command line', COMMAND_LINE, `import {run} from '../agent/main.ts';`, false],
  ['the agent, lazily, by the command line', COMMAND_LINE, `await import('../agent/main.ts')`, true],
  ['a file that is no code', 'proc/cli.ts', `new URL('../package.json', import.meta.url)`, undefined],
  ['a worker of another room', 'oci/a.ts', `new Worker(new URL('../agent/b.ts', import.meta.url))`, false],
  ['the grammar, by the section upstreams', 'oci/upstream-rules.ts', `import {b} from '../proc/config/b.ts';`, true],
  ['the log, by the section upstreams', 'oci/upstream-rules.ts', `import {b} from '../proc/log.ts';`, false],
  ['the grammar, by the registry client', 'oci/upstream.ts', `import {b} from '../proc/config/b.ts';`, false],
  ['the rigs, by a test', 'oci/a.test.ts', `import {FakeRegistry} from '../test/fake-registry.ts';`, true],
  ['another room, by a test', 'oci/a.test.ts', `import {b} from '../agent/b.ts';`, false],
] as const) {
  test(`the rule for imports ${allowed === false ? 'refuses' : 'allows'}: ${name}`, () => {
    assert.equal(importsOf(file, text).map(isAllowed)[0], allowed);
  });
}

test(`no file has more than ${MAX_LINES} lines, and none is a barrel or a drawer for everything`, () => {
  const long = FILES.filter((file) => read(file).split('\n').length > MAX_LINES + 1);
  const vague = FILES.filter((file) => /^(?:index|utils?|helpers?|common|shared)\.ts$/.test(basename(file)));
  assert.deepEqual([...long, ...vague], []);
});
