import assert from 'node:assert/strict';
import {once} from 'node:events';
import {mkdtemp, rm, stat, writeFile} from 'node:fs/promises';
import {
  Agent,
  createServer,
  get,
  type IncomingMessage,
  type RequestListener,
  type RequestOptions,
  type ServerResponse,
} from 'node:http';
import {connect} from 'node:net';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {text} from 'node:stream/consumers';
import {test} from 'node:test';
import {spawn} from 'node:child_process';
import {poll} from '../test/poll.ts';
import {listen, type Listening} from './listen.ts';

const LOCAL = {host: '127.0.0.1', port: 0};
const hello: RequestListener = (_req, res) => void res.end('hello');

async function newFolder(): Promise<AsyncDisposable & {readonly path: string}> {
  const path = await mkdtemp(join(tmpdir(), 'noost-'));
  return {path, [Symbol.asyncDispose]: () => rm(path, {recursive: true})};
}

async function ask(options: RequestOptions): Promise<IncomingMessage> {
  const [answer] = (await once(get(options), 'response')) as [IncomingMessage];
  return answer;
}

test('listen says the port it got, and refuses one that is taken', async () => {
  const first = await listen(createServer(hello), LOCAL);
  assert.equal(first.address, `127.0.0.1:${String(first.port)}`);
  await assert.rejects(listen(createServer(hello), {...LOCAL, port: first.port}), {code: 'EADDRINUSE'});
  await first.drain(0);
  await first.drain(0);
});

test('a unix socket is for its owner only', async () => {
  await using folder = await newFolder();
  const path = join(folder.path, 's.sock');
  const listening = await listen(createServer(hello), {path});
  assert.equal((await stat(path)).mode & 0o777, 0o600);
  assert.equal((await ask({socketPath: path, agent: false})).statusCode, 200);
  await assert.rejects(listen(createServer(hello), {path}), {code: 'EADDRINUSE'});
  await listening.drain(0);
  await assert.rejects(stat(path), {code: 'ENOENT'});
});

test('the socket that a killed process left is replaced, and a file is not', async () => {
  await using folder = await newFolder();
  const path = join(folder.path, 's.sock');
  const script = `require('node:http').createServer().listen(${JSON.stringify(path)}, () => process.stdout.write('up'))`;
  const child = spawn(process.execPath, ['-e', script], {stdio: ['ignore', 'pipe', 'inherit']});
  await once(child.stdout, 'data');
  await assert.rejects(listen(createServer(hello), {path}), {
    code: 'EADDRINUSE',
    message: /belongs to a running process/,
  });
  child.kill('SIGKILL');
  await once(child, 'exit');
  assert.ok((await stat(path)).isSocket());
  const listening = await listen(createServer(hello), {path});
  assert.equal((await ask({socketPath: path, agent: false})).statusCode, 200);
  await listening.drain(0);
  await writeFile(path, 'precious');
  await assert.rejects(listen(createServer(hello), {path}), {code: 'EADDRINUSE', message: /is not a socket/});
});

/** A server whose answers begin and wait; `finish` ends the oldest. */
async function listenAndHold(): Promise<{listening: Listening; finish: () => void}> {
  const held: ServerResponse[] = [];
  const server = createServer((_req, res) => {
    res.write('first ');
    held.push(res);
  });
  return {listening: await listen(server, LOCAL), finish: () => void held.shift()?.end('last')};
}

test('drain lets transfers finish, accepting what belongs to them, and nothing after that', async () => {
  const {listening, finish} = await listenAndHold();
  const [port, agent] = [listening.port, new Agent({keepAlive: true})];
  const idle = connect(port, '127.0.0.1');
  await once(idle, 'connect');
  const answer = await ask({port, host: '127.0.0.1', agent});
  const drained = listening.drain(600_000);
  await once(idle, 'close');
  const range = await ask({port, host: '127.0.0.1', agent: false}); // in the middle of it
  for (const one of [answer, range]) {
    finish();
    assert.equal(await text(one), 'first last');
  }
  await drained;
  await assert.rejects(ask({port, host: '127.0.0.1', agent: false}), {code: 'ECONNREFUSED'});
  agent.destroy();
});

test('drain accepts nothing new for the second half of its time', async () => {
  const {listening, finish} = await listenAndHold();
  const place = {port: listening.port, host: '127.0.0.1', agent: false} as const;
  const answer = await ask(place);
  const drained = listening.drain(5_000);
  await poll('new connections are refused', async () =>
    ask(place).then(
      (more) => void more.destroy(),
      (error: NodeJS.ErrnoException) => error.code === 'ECONNREFUSED',
    ),
  );
  finish();
  assert.equal(await text(answer), 'first last');
  await drained;
});

test('drain destroys what is not done in time', async () => {
  const listening = await listen(
    createServer((_req, res) => void res.write('for ever')),
    LOCAL,
  );
  const answer = await ask({port: listening.port, host: '127.0.0.1', agent: false});
  const broken = once(answer, 'error');
  answer.resume();
  await listening.drain(20);
  const [error] = (await broken) as [NodeJS.ErrnoException];
  assert.equal(error.code, 'ECONNRESET');
});
