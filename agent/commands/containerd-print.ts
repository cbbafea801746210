import type {Wanted} from '../node/certs-dir.ts';
import {mirrorOf, WELL_KNOWN} from '../node/crio.ts';
import {configLines} from '../node/findings.ts';
import {MANUAL} from '../node/hosts-file.ts';
import {mergeHosts} from '../node/hosts-merge.ts';
import {mergeRegistries} from '../node/registries-yaml.ts';
import type {Runtime, RuntimeFiles} from '../node/runtime-files.ts';

const SECRET = 'what-the-secret-file-holds';

const NOTED = {owner: MANUAL, since: '', mode: '644', made: 1};

/** What a person, or another tool, has to write where we cannot. It never holds the secret itself. */
export function printFiles(runtime: Runtime, files: RuntimeFiles, {host, registries}: Wanted, json: boolean): string {
  const shown: Wanted = {host: {...host, secret: host.secret === undefined ? undefined : SECRET}, registries};
  const printed = runtime === 'containerd' ? forContainerd(files, shown) : forOthers(runtime, files, shown);
  if (json) return `${JSON.stringify({files: printed})}\n`;
  return printed
    .map(({file, text, after}) => `# ${file}${after === undefined ? '' : `, and after it: ${after}`}\n${text}`)
    .join('\n');
}

interface Printed {
  readonly file: string;
  readonly text: string;
  /** What has to be done for it to count. */
  readonly after?: string;
}

function forContainerd({path, needs}: RuntimeFiles, {host, registries}: Wanted): Printed[] {
  const text = withoutComments(mergeHosts('', host, {ca: [], client: []}, NOTED));
  const folders = (registries ?? ['_default']).map((name) => name.replace(/:(\d+)$/, '_$1_'));
  const hosts = folders.map((folder): Printed => ({file: `${path}/${folder}/hosts.toml`, text}));
  if (needs === undefined) return hosts;
  return [...hosts, {file: needs.file, text: configLines(needs.version, path), after: needs.restart}];
}

function forOthers(
  runtime: Runtime,
  {path: file, afterwards: after}: RuntimeFiles,
  {host, registries}: Wanted,
): Printed[] {
  const text =
    runtime === 'crio'
      ? (registries ?? WELL_KNOWN).map((name) => mirrorOf(name, host)).join('\n')
      : withoutComments(mergeRegistries('', host, registries, NOTED));
  return [{file, text, ...(after === undefined ? {} : {after})}];
}

function withoutComments(text: string): string {
  return text
    .split('\n')
    .filter((line) => !line.startsWith('#'))
    .join('\n');
}
