import {createHash} from 'node:crypto';
import {access, mkdir, mkdtemp, rename, rm, writeFile} from 'node:fs/promises';
import {homedir, tmpdir} from 'node:os';
import {dirname, join} from 'node:path';
import type {TestContext} from 'node:test';
import {run} from './run.ts';

/** What the kubelet makes of a reference, before it fills in `latest`. */
export type KubeletReading =
  | {readonly ok: true; readonly domain: string; readonly path: string; readonly tag: string; readonly digest: string}
  | {readonly ok: false; readonly error: string};

/** The library that kubelet and containerd read references with, in Kubernetes 1.34's version. */
const MODULE = 'github.com/distribution/reference';
const VERSION = 'v0.6.0';

/** JSON strings in, a line each; JSON readings out. As `parsers.ParseImageName` of k8s.io/kubernetes does it. */
const MAIN = `package main

import (
	"bufio"
	_ "crypto/sha256"
	_ "crypto/sha512"
	"encoding/json"
	"os"

	"${MODULE}"
)

func main() {
	in := bufio.NewScanner(os.Stdin)
	in.Buffer(nil, 1<<20)
	out := json.NewEncoder(os.Stdout)
	for in.Scan() {
		var text string
		if err := json.Unmarshal(in.Bytes(), &text); err != nil {
			panic(err)
		}
		named, err := reference.ParseNormalizedNamed(text)
		if err != nil {
			out.Encode(map[string]any{"ok": false, "error": err.Error()})
			continue
		}
		tag, digest := "", ""
		if tagged, ok := named.(reference.Tagged); ok {
			tag = tagged.Tag()
		}
		if digested, ok := named.(reference.Digested); ok {
			digest = digested.Digest().String()
		}
		out.Encode(map[string]any{"ok": true, "domain": reference.Domain(named), "path": reference.Path(named), "tag": tag, "digest": digest})
	}
}
`;

/**
 * A function that reads references as the kubelet does: the real Go library, built once. Without Go or a module proxy the
 * test is skipped and says why.
 */
export async function kubeletReader(
  t: TestContext,
): Promise<((texts: readonly string[]) => Promise<KubeletReading[]>) | undefined> {
  const cache = process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache');
  const content = createHash('sha256').update(MAIN).digest('hex').slice(0, 12);
  const program = join(cache, 'noost-test', `reference-${VERSION}-${content}`);
  try {
    await access(program).catch(() => build(program));
  } catch (error) {
    const [why = ''] = (error as Error).message.split('\n', 1);
    t.skip(`${MODULE} cannot be built here: ${why}`);
    return undefined;
  }
  return async (texts) => {
    const input = texts.map((text) => `${JSON.stringify(text)}\n`).join('');
    const lines = (await run(program, [], {input})).toString().split('\n').slice(0, -1);
    return lines.map((line) => JSON.parse(line) as KubeletReading);
  };
}

async function build(program: string): Promise<void> {
  const work = await mkdtemp(join(tmpdir(), 'noost-go-'));
  try {
    await writeFile(join(work, 'main.go'), MAIN);
    await run('go', ['mod', 'init', 'noost.test/reference'], {cwd: work});
    await run('go', ['get', `${MODULE}@${VERSION}`], {cwd: work});
    await run('go', ['build', '-trimpath', '-o', join(work, 'out'), '.'], {cwd: work, timeoutMs: 300_000});
    await mkdir(dirname(program), {recursive: true});
    // Another file system may hold the temporary folder: by copy, then by rename.
    await run('cp', [join(work, 'out'), `${program}.${process.pid}`]);
    await rename(`${program}.${process.pid}`, program);
  } finally {
    await rm(work, {recursive: true, force: true});
  }
}
