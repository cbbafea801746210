import {mkdir, writeFile} from 'node:fs/promises';
import {join} from 'node:path';
import type {Machine} from './machine.ts';
import {plotScenario} from './plot.ts';
import type {ScenarioResult} from './results.ts';
import {markOf, renderScenario} from './table.ts';

/** A whole run, as it goes into the JSON file. */
export interface Report {
  /** Of the file's shape. */
  readonly version: 1;
  readonly startedAt: string;
  readonly seconds: number;
  readonly machine: Machine;
  readonly quick: boolean;
  readonly rounds: number;
  readonly arguments: readonly string[];
  /** Contestant → its version, or why it did not take part. */
  readonly contestants: Readonly<Record<string, string>>;
  readonly sizes: Readonly<Record<string, number>>;
  readonly scenarios: readonly ScenarioResult[];
}

/** Writes `NAME.json`, `NAME.txt` and a plot for each scenario. @returns what to say at the end. */
export async function writeReport(folder: string, report: Report): Promise<string> {
  const name = report.startedAt.replace(/[:.]/g, '-').replace('T', '_').slice(0, 19);
  await mkdir(folder, {recursive: true});
  await writeFile(join(folder, `${name}.json`), `${JSON.stringify(report, undefined, 1)}\n`);
  const text = renderReport(report);
  await writeFile(join(folder, `${name}.txt`), text);
  for (const scenario of report.scenarios)
    if (scenario.rows.length > 0)
      await writeFile(join(folder, `${name}-${scenario.scenario}.svg`), plotScenario(scenario, captionOf(report)));
  return `${renderGoals(report)}\nwritten: ${join(folder, name)}.json, .txt and -SCENARIO.svg`;
}

export function renderReport(report: Report): string {
  const contestants = Object.entries(report.contestants).map(([name, version]) => `  ${name}: ${version}`);
  const sizes = Object.entries(report.sizes).map(([name, bytes]) => `${name} ${bytes}`);
  const heads = [captionOf(report), `sizes in bytes: ${sizes.join(', ')}`, ...contestants];
  return `${heads.join('\n')}\n${report.scenarios.map(renderScenario).join('')}${renderGoals(report)}\n`;
}

/** One line that names machine, versions, commit. */
export function captionOf({machine, startedAt, quick, rounds}: Report): string {
  const {cpu, cores, shaExtensions, memoryGib, kernel, system, node, commit} = machine;
  return [
    `${cpu}, ${cores} cores${shaExtensions ? ' with SHA instructions' : ''}, ${memoryGib} GiB, Linux ${kernel}, ${system}`,
    `Node ${node}, commit ${commit}, ${startedAt.slice(0, 16)}Z, ${rounds} rounds${quick ? ', quick (smaller sizes)' : ''}`,
  ].join(' · ');
}

function renderGoals({scenarios}: Report): string {
  const verdicts = scenarios.flatMap((scenario) =>
    scenario.verdicts.map((verdict) => ({scenario: scenario.scenario, verdict})),
  );
  const lines = verdicts.map(
    ({scenario, verdict}) => `  ${markOf(verdict)} ${scenario}, ${verdict.of}: ${verdict.goal}: ${verdict.shown}`,
  );
  const reached = verdicts.filter(({verdict}) => verdict.reached === true).length;
  return `\n━━ goals ━━ ${reached} of ${verdicts.length} reached\n${lines.join('\n')}`;
}
