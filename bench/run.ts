import {mkdir, rm} from 'node:fs/promises';
import {join} from 'node:path';
import {freePort} from '../test/free-port.ts';
import {Context} from './context.ts';
import {bare} from './contestants/bare.ts';
import type {Contestant} from './contestants/contestant.ts';
import {distribution} from './contestants/distribution.ts';
import {nginx, nginxCache} from './contestants/nginx.ts';
import {newCheckout, noost} from './contestants/noost.ts';
import {newPeer, newPeerCommand} from './contestants/peer.ts';
import {sink} from './contestants/sink.ts';
import {FULL_SIZES, makeDataset, QUICK_SIZES, type Dataset} from './dataset.ts';
import {buildGenerator} from './generator.ts';
import {describeMachine} from './machine.ts';
import {needPrograms} from './needs.ts';
import {parseOptions, USAGE, type BenchOptions} from './options.ts';
import {captionOf, writeReport, type Report} from './report.ts';
import {Results, type ScenarioResult} from './results.ts';
import type {Scenario} from './scenario.ts';
import {SCENARIOS} from './scenarios/all.ts';
import {renderScenario} from './table.ts';
import {Upstream} from './upstream.ts';

const CONTESTANTS = [noost, nginx, nginxCache, bare, distribution, sink];

process.exitCode = await main(process.argv.slice(2));

async function main(args: readonly string[]): Promise<number> {
  let options: BenchOptions | undefined;
  try {
    options = parseOptions(args);
    if (options === undefined) {
      process.stdout.write(USAGE);
      return 0;
    }
    await bench(options, args, chooseScenarios(options), chooseContestants(options));
    return 0;
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    process.stderr.write(`bench: ${error.message}\n${USAGE}`);
    return 2;
  }
}

async function bench(
  options: BenchOptions,
  args: readonly string[],
  scenarios: readonly Scenario[],
  chosen: readonly Contestant[],
): Promise<void> {
  const startedAt = new Date().toISOString();
  const begun = performance.now();
  await needPrograms(say);
  say('making the data set');
  await mkdir(options.work, {recursive: true});
  await rm(join(options.work, 'run'), {recursive: true, force: true});
  const dataset = await makeDataset(join(options.work, 'dataset'), options.quick ? QUICK_SIZES : FULL_SIZES);
  const [contestants, versions] = await ask(chosen);
  const results: ScenarioResult[] = [];
  const report = async (): Promise<Report> => ({
    version: 1,
    startedAt,
    seconds: (performance.now() - begun) / 1000,
    machine: await describeMachine(),
    quick: options.quick,
    rounds: options.rounds,
    arguments: args,
    contestants: versions,
    sizes: sizesOf(dataset),
    scenarios: results,
  });
  const first = await report();
  process.stdout.write(`${captionOf(first)}\n`);
  for (const scenario of scenarios) {
    const result = await runScenario(scenario, options, dataset, contestants);
    results.push(result);
    clear();
    process.stdout.write(renderScenario(result));
  }
  process.stdout.write(`${await writeReport(options.out, {...(await report()), machine: first.machine})}\n`);
  await rm(join(options.work, 'run'), {recursive: true, force: true});
}

async function runScenario(
  scenario: Scenario,
  options: BenchOptions,
  dataset: Dataset,
  contestants: readonly Contestant[],
): Promise<ScenarioResult> {
  const begun = performance.now();
  const results = new Results();
  const {rounds, quick, work} = options;
  const generator = await buildGenerator(join(work, 'generator'));
  const folder = join(work, 'run', `upstream-${scenario.name}`);
  await using upstream = await Upstream.start(dataset, {folder, host: '127.0.0.1', port: await freePort()});
  await generator.wait({host: upstream.host, port: upstream.port, steps: [{path: '/v2/'}]}, 10);
  const said = (text: string): void => say(`${scenario.name}: ${text}`);
  const context = new Context({generator, dataset, upstream, rounds, quick, results, work, say: said, contestants});
  try {
    await scenario.run(context);
  } catch (error) {
    results.remark('(all)', '(all)', `could not run: ${(error as Error).message}`);
  }
  await rm(join(work, 'run'), {recursive: true, force: true});
  return results.finish(scenario.name, scenario.title, (performance.now() - begun) / 1000, scenario.goals);
}

/** Those that are there, and what all of them say of themselves. */
async function ask(chosen: readonly Contestant[]): Promise<[readonly Contestant[], Readonly<Record<string, string>>]> {
  const present: Contestant[] = [];
  const versions: Record<string, string> = {};
  for (const contestant of chosen)
    try {
      versions[contestant.name] = await contestant.version();
      present.push(contestant);
    } catch (error) {
      versions[contestant.name] = `does not take part: ${(error as Error).message.split('\n', 1)[0] ?? ''}`;
      process.stdout.write(`! ${contestant.name} ${versions[contestant.name] ?? ''}\n`);
    }
  return [present, versions];
}

function chooseScenarios({only}: BenchOptions): readonly Scenario[] {
  const unknown = only.find((name) => !SCENARIOS.some((scenario) => scenario.name === name));
  if (unknown !== undefined) throw new SyntaxError(`there is no scenario ${unknown}`);
  return SCENARIOS.filter(({name}) => only.length === 0 || only.includes(name));
}

function chooseContestants({contestants, peers, peerCommands, checkouts}: BenchOptions): readonly Contestant[] {
  const unknown = contestants.find((name) => !CONTESTANTS.some((contestant) => contestant.name === name));
  if (unknown !== undefined) throw new SyntaxError(`there is no contestant ${unknown}`);
  return [
    ...CONTESTANTS.filter(({name}) => contestants.length === 0 || contestants.includes(name)),
    ...peers.map(({name, value}) => newPeer(name, value)),
    ...peerCommands.map(({name, value}) => newPeerCommand(name, value)),
    ...checkouts.map(({name, value}) => newCheckout(name, value)),
  ];
}

function sizesOf({large, herd, image, small, soak}: Dataset): Readonly<Record<string, number>> {
  const sum = (files: readonly {readonly sizeBytes: number}[]): number =>
    files.reduce((total, {sizeBytes}) => total + sizeBytes, 0);
  return {
    large: large.sizeBytes,
    herd: herd.sizeBytes,
    image: sum(image.layers),
    smallManifest: small.manifest.sizeBytes,
    soak: sum(soak),
  };
}

/** What is going on, on a terminal in one line that is written over. */
function say(text: string): void {
  if (process.stderr.isTTY) process.stderr.write(`\r\u001b[K${text.slice(0, 118)}`);
  else process.stderr.write(`${text}\n`);
}

function clear(): void {
  if (process.stderr.isTTY) process.stderr.write('\r\u001b[K');
}
