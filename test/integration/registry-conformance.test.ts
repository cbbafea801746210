import assert from 'node:assert/strict';
import {mkdtempDisposable, readFile} from 'node:fs/promises';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {test} from 'node:test';
import {ALICE, HostedRig} from '../hosted-rig.ts';
import {environment} from '../peers/environment.ts';
import {goPrograms} from '../peers/go-program.ts';
import {CONFORMANCE} from '../peers/registry-clients.ts';
import {run} from '../peers/run.ts';

/** How many checks the suite has for each version of the specification, at the least: fewer, and it did not run. */
for (const [version, least] of [
  ['1.1', 600],
  ['dev', 700],
] as const)
  test(`the official conformance suite of ${version}: nothing fails, nothing is skipped`, async (t) => {
    const programs = await goPrograms(t, CONFORMANCE);
    if (programs === undefined) return;
    await using stack = new AsyncDisposableStack();
    const {path: folder} = stack.use(await mkdtempDisposable(join(tmpdir(), 'noost-conformance-')));
    const registry = stack.use(await HostedRig.start());
    const env = environment(folder, {
      OCI_REGISTRY: registry.address,
      OCI_TLS: 'disabled',
      OCI_VERSION: version,
      OCI_USERNAME: ALICE.username,
      OCI_PASSWORD: ALICE.password,
    });
    const out = await run(join(programs, 'conformance'), [], {env, cwd: folder, timeoutMs: 400_000}).catch(
      (error: unknown) => Buffer.from(String(error)), // what failed is in the report
    );
    const report = await readFile(join(folder, 'results', 'junit.xml'), 'utf8').catch(() => '');
    const count = (element: string): number => report.split(`<${element}`).length - 1;
    assert.ok(count('testcase ') >= least, `${count('testcase ')} checks ran\n${out.toString().slice(0, 4_000)}`);
    const counts = {failed: count('failure'), broken: count('error'), skipped: count('skipped')};
    assert.deepEqual(counts, {failed: 0, broken: 0, skipped: 0}, out.toString().slice(-8_000));
    assert.match(report, / failures="0" errors="0"/);
    // Nor does the agent complain, or keep anything of it.
    assert.deepEqual(
      registry.agent.log.filter(({level}) => level === 'error' || level === 'warn'),
      [],
    );
  });
