import assert from 'node:assert/strict';
import {execFileSync, spawn} from 'node:child_process';
import {once} from 'node:events';
import {closeSync, constants, mkdtempSync, openSync, readFileSync, readSync, rmSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {test} from 'node:test';
import {readableLine} from './log-line.ts';
import {newLog} from './log.ts';

/** A pipe that is read only when the test says so. */
class Pipe implements Disposable {
  readonly writeFd: number;
  readonly #folder = mkdtempSync(join(tmpdir(), 'noost-'));
  readonly #readFd: number;
  constructor() {
    const path = join(this.#folder, 'pipe');
    execFileSync('mkfifo', [path]);
    this.#readFd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
    this.writeFd = openSync(path, constants.O_WRONLY);
  }

  /** What is in it now. */
  read(): string {
    const buffer = Buffer.alloc(1024 * 1024);
    try {
      return buffer.toString('utf8', 0, readSync(this.#readFd, buffer));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'EAGAIN') return '';
      throw error;
    }
  }

  [Symbol.dispose](): void {
    closeSync(this.#readFd);
    closeSync(this.writeFd);
    rmSync(this.#folder, {recursive: true});
  }
}

function linesOf(text: string): Record<string, unknown>[] {
  return text
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, unknown>);
}

test('a log writes JSON lines to a pipe, with level, time and fields', async () => {
  using pipe = new Pipe();
  const log = newLog({level: 'info', format: 'auto', fd: pipe.writeFd});
  log.debug('not this');
  log.info('ready', {address: '127.0.0.1:1', secret: 's'});
  log.access({method: 'GET', status: 200, repo: 'x'.repeat(600), none: undefined});
  log.setLevel('error');
  log.warn('nor this');
  await log.close();
  const [ready, access, ...more] = linesOf(pipe.read());
  assert.deepEqual(more, []);
  assert.match(String(ready?.['time']), /^\d{4}-\d\d-\d\dT/);
  assert.deepEqual(
    {...ready, time: ''},
    {level: 'info', time: '', msg: 'ready', address: '127.0.0.1:1', secret: '[hidden]'},
  );
  assert.deepEqual(
    {...access, time: ''},
    {level: 'info', time: '', msg: 'access', method: 'GET', status: 200, repo: `${'x'.repeat(512)}…`},
  );
});

test('a log that nobody reads drops lines beyond its bound, counts them, and says so later', async () => {
  using pipe = new Pipe();
  const log = newLog({level: 'info', format: 'json', fd: pipe.writeFd, maxBufferedBytes: 256 * 1024});
  for (let i = 0; i < 5000; i++) log.access({path: 'x'.repeat(200)});
  await new Promise((resolve) => setImmediate(resolve));
  const dropped = log.droppedLines;
  assert.ok(dropped > 2000 && dropped < 5000, String(dropped));
  let text = '';
  while (!text.includes('were dropped')) {
    text += pipe.read();
    await new Promise((resolve) => setImmediate(resolve));
  }
  const lines = linesOf(text);
  assert.equal(lines.length + dropped - 1, 5000);
  assert.equal(lines.at(-1)?.['lines'], dropped);
  await log.close();
});

test('control characters do not leave a log, as JSON or as text (D-037)', async () => {
  const hostile = 'a\u001b[31m\u009b2J\u202e\nforged=1\u2028\u{e0041}';
  for (const format of ['json', 'text'] as const) {
    using pipe = new Pipe();
    const log = newLog({level: 'info', format, fd: pipe.writeFd});
    log.info(hostile, {[hostile]: hostile});
    log.access({repo: hostile});
    await log.close();
    const text = pipe.read();
    assert.equal(text.split('\n').length, 3);
    assert.doesNotMatch(text, /[^\P{Cc}\n]|\p{Cf}|\p{Zl}/u);
    if (format === 'json') assert.equal(linesOf(text)[1]?.['repo'], hostile);
  }
});

test('a readable line quotes what has spaces', () => {
  const json =
    '{"level":"warn","time":"2026-01-02T03:04:05.678Z","repo":"a/b","error":{"code":"E X"},"ms":5,"msg":"slow"}\n';
  assert.equal(readableLine(json, false), '03:04:05.678 WARN  slow repo=a/b error={"code":"E X"} ms=5\n');
  assert.match(readableLine(json, true), /\[33mWARN .\[0m slow/);
  assert.equal(readableLine('not \u001bJSON\n', false), 'not \\u001bJSON\n');
});

test('a process whose standard output is never read ends all the same', {timeout: 20_000}, async () => {
  const script = `import {newLog} from ${JSON.stringify(join(import.meta.dirname, 'log.ts'))};
    const log = newLog({level: 'info', format: 'json'});
    for (let i = 0; i < 5000; i++) log.access({path: 'x'.repeat(200)});
    await new Promise((resolve) => setTimeout(resolve, 50));
    await log.close(); process.exit(log.droppedLines === 0 ? 7 : 8);`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], {stdio: ['ignore', 'pipe', 'inherit']});
  const [code] = (await once(child, 'exit')) as [number | null];
  assert.equal(code, 7);
  child.stdout.destroy();
});

test('a log that nobody reads any more goes on', async () => {
  const script = `import {newLog} from ${JSON.stringify(join(import.meta.dirname, 'log.ts'))};
    const log = newLog({level: 'info', format: 'json'});
    process.stdin.once('data', async () => {
      for (let i = 0; i < 100; i++) { log.info('x'); await new Promise((resolve) => setImmediate(resolve)); }
      await log.close(); process.exit(7);
    });
    process.stderr.write('up');`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], {stdio: ['pipe', 'pipe', 'pipe']});
  await once(child.stderr, 'data');
  child.stdout.destroy();
  child.stdin.write('go');
  const [code] = (await once(child, 'exit')) as [number | null];
  assert.equal(code, 7);
});

test('a log writes to a file', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'noost-'));
  const fd = openSync(join(folder, 'log'), 'a');
  const log = newLog({level: 'info', format: 'json', fd});
  for (let i = 0; i < 1000; i++) log.info('line', {i});
  await log.close();
  closeSync(fd);
  assert.deepEqual(
    linesOf(readFileSync(join(folder, 'log'), 'utf8')).map(({i}) => i),
    Array.from({length: 1000}, (_, i) => i),
  );
  rmSync(folder, {recursive: true});
});
