import assert from 'node:assert/strict';
import {randomFillSync} from 'node:crypto';
import {Agent} from 'node:http';
import {connect} from 'node:net';
import {setTimeout as delay} from 'node:timers/promises';
import {after, before, test} from 'node:test';
import {AgentRig} from '../agent-rig.ts';
import {ask} from '../ask.ts';
import {FakeRegistry} from '../fake-registry.ts';
import {poll} from '../poll.ts';

// Proof 3: many clients of one blob are one download; slow, leaving and ranged ones change nothing for the others.

const MIB = 1 << 20;
let registry: FakeRegistry;
let agent: AgentRig;

before(async () => {
  registry = await FakeRegistry.start();
  agent = await AgentRig.start({
    config: {cache: {minFreeDisk: '0%'}, upstreams: [{host: 'up.test', url: registry.url}]},
  });
});
after(async () => {
  await agent[Symbol.asyncDispose]();
  await registry[Symbol.asyncDispose]();
});

const newBlob = (bytes: number): {digest: string; path: string; content: Buffer} => {
  const content = randomFillSync(Buffer.allocUnsafe(bytes));
  const digest = registry.content.addBlob('app', content);
  return {digest, content, path: `/v2/app/blobs/${digest}?ns=up.test`};
};

test(
  '50 cold clients of one 256 MiB blob, some slow, some leaving, some asking for ranges, are one GET upstream',
  {timeout: 300_000},
  async () => {
    const size = 256 * MIB;
    const {digest, path, content} = newBlob(size);
    const before = await agent.usage();
    let peak = before;
    const watch = setInterval(() => {
      void agent.usage().then((usage) => {
        peak = {
          residentBytes: Math.max(peak.residentBytes, usage.residentBytes),
          threads: Math.max(peak.threads, usage.threads),
          descriptors: Math.max(peak.descriptors, usage.descriptors),
        };
      });
    }, 200);
    const slow = Array.from({length: 10}, () =>
      ask(agent.address, path, {keep: false, bytesPerSecond: MIB, leaveAfter: 12 * MIB}),
    );
    const leaving = Array.from({length: 10}, (_, i) =>
      ask(agent.address, path, {keep: false, leaveAfter: i % 2 === 0 ? 3 * MIB : 128 * MIB}),
    );
    const ranges = [
      [0, 99],
      [size - 100, size - 1],
      [100 * MIB, 101 * MIB],
      [200 * MIB, 200 * MIB],
    ].map(async ([first = 0, last = 0]) => {
      const answer = await ask(agent.address, path, {headers: {range: `bytes=${first}-${last}`}});
      assert.equal(answer.status, 206);
      assert.equal(answer.headers['content-range'], `bytes ${first}-${last}/${size}`);
      assert.ok(answer.body.equals(content.subarray(first, last + 1)), `range ${first}-${last}`);
    });
    const whole = await Promise.all(Array.from({length: 26}, () => ask(agent.address, path, {keep: false})));
    await Promise.all(ranges);
    for (const answer of whole) {
      assert.equal(answer.complete, true);
      assert.equal(answer.digest, digest);
    }
    await Promise.all([...leaving, ...slow]);
    clearInterval(watch);
    assert.deepEqual(registry.lines(), [`GET /v2/app/blobs/${digest}`]);
    console.log(
      `peak resident ${Math.round(peak.residentBytes / 1e6)} MB, threads ${before.threads} → ${peak.threads}`,
    );
    assert.ok(peak.residentBytes < 200e6, `${peak.residentBytes} bytes resident`);
    assert.ok(peak.threads - before.threads <= 24, 'threads are the pool and the hashers, whatever the clients do');
  },
);

test(
  '2,000 aborted pulls beside whole ones: every whole one is right, and descriptors return to where they were',
  {timeout: 300_000},
  async () => {
    const blobs = [newBlob(8 * MIB), newBlob(3 * MIB + 17), newBlob(70_000)] as const;
    for (const {path, digest} of blobs) assert.equal((await ask(agent.address, path, {keep: false})).digest, digest);
    const before = await agent.usage();
    const keepAlive = new Agent({keepAlive: true, maxSockets: 8});
    let stop = false;
    let whole = 0;
    const readers = Array.from({length: 6}, async (_, i) => {
      for (let n = 0; !stop; n++) {
        const {path, digest} = blobs[(i + n) % blobs.length] ?? blobs[0];
        const answer = await ask(agent.address, path, {keep: false, agent: keepAlive});
        assert.equal(answer.complete, true);
        assert.equal(answer.digest, digest);
        whole++;
      }
    });
    for (let done = 0; done < 2000; done += 40)
      await Promise.all(Array.from({length: 40}, (_, i) => abortedPull(blobs[i % 3]?.path ?? '', (done + i) * 997)));
    stop = true;
    await Promise.all(readers);
    keepAlive.destroy();
    assert.ok(whole > 50, `${whole} whole pulls`);
    // A connection that was left before it said anything is closed by the time limit of its first request.
    await poll(
      'descriptors return',
      async () => (await agent.usage()).descriptors <= before.descriptors + 4,
      90_000,
    ).catch(async (error: unknown) => {
      throw new Error(`${(error as Error).message}; ${before.descriptors} before: ${await agent.descriptors()}`);
    });
    assert.ok((await agent.usage()).threads <= before.threads + 2);
  },
);

/** Asks and leaves, by FIN or RST, after some bytes or none. */
function abortedPull(path: string, seed: number): Promise<void> {
  const [host = '', port = ''] = agent.address.split(':');
  return new Promise((resolve) => {
    const socket = connect({host, port: Number(port)});
    const leaveAt = seed % 5 === 0 ? 0 : seed % 60_000; // below the smallest blob
    let got = 0;
    const leave = (): void => {
      if (seed % 2 === 0) socket.resetAndDestroy();
      else socket.destroy();
    };
    socket.on('connect', () => {
      socket.write(`GET ${path} HTTP/1.1\r\nHost: noost\r\n\r\n`, () => leaveAt === 0 && leave());
    });
    socket.on('data', (chunk) => {
      got += chunk.length;
      if (got >= leaveAt) leave();
    });
    socket.on('error', () => undefined);
    socket.on('close', () => {
      resolve();
    });
  });
}

test('pipelined requests are answered in order, blobs and manifests and errors mixed', async () => {
  const blob = newBlob(2 * MIB);
  const image = registry.content.addImage('app', 'v1');
  await ask(agent.address, blob.path);
  const [host = '', port = ''] = agent.address.split(':');
  const socket = connect({host, port: Number(port)});
  const paths = [
    blob.path,
    '/v2/app/manifests/v1?ns=up.test',
    blob.path,
    '/v2/app/blobs/sha256:bad?ns=up.test',
    '/v2/',
  ];
  socket.write(paths.map((path) => `GET ${path} HTTP/1.1\r\nHost: noost\r\n\r\n`).join(''));
  const chunks: Buffer[] = [];
  const want = 2 * 2 * MIB + image.bytes.length;
  for await (const chunk of socket as AsyncIterable<Buffer>) {
    chunks.push(chunk);
    const length = chunks.reduce((sum, {length: n}) => sum + n, 0);
    if (length > want && Buffer.concat(chunks.slice(-2)).includes('\r\n\r\n{}')) break;
  }
  socket.destroy();
  let rest = Buffer.concat(chunks);
  const next = (): {status: string; body: Buffer} => {
    const head = rest.subarray(0, rest.indexOf('\r\n\r\n')).toString();
    const length = Number(/content-length: (\d+)/i.exec(head)?.[1]);
    const start = head.length + 4;
    const body = rest.subarray(start, start + length);
    rest = rest.subarray(start + length);
    return {status: head.split(' ', 2)[1] ?? '', body};
  };
  assert.ok(next().body.equals(blob.content));
  assert.ok(next().body.equals(image.bytes));
  assert.ok(next().body.equals(blob.content));
  assert.equal(next().status, '400');
  assert.equal(next().body.toString(), '{}');
});

test('a client that leaves does not end the download; the next one finds it whole (P-11)', async () => {
  const {path, digest} = newBlob(20 * MIB);
  registry.clear();
  registry.fail({kind: 'slow', bytesPerSecond: 20 * MIB}, {times: Infinity});
  await ask(agent.address, path, {leaveAfter: 1});
  await poll('the download ends', async () => (await agent.metric('noost_fills_inflight')) === 0);
  assert.equal((await ask(agent.address, path, {keep: false})).digest, digest);
  assert.deepEqual(registry.lines(), [`GET /v2/app/blobs/${digest}`]);
  registry.clear();
});

test('a reader of a warm blob who reads nothing holds no thread', async () => {
  const {path} = newBlob(64 * MIB);
  await ask(agent.address, path, {keep: false});
  const before = await agent.usage();
  const [host = '', port = ''] = agent.address.split(':');
  const sockets = Array.from({length: 40}, () => {
    const socket = connect({host, port: Number(port)});
    socket.on('error', () => undefined);
    socket.write(`GET ${path} HTTP/1.1\r\nHost: noost\r\n\r\n`);
    socket.pause();
    return socket;
  });
  await delay(1000);
  const during = await agent.usage();
  assert.ok(during.threads <= before.threads + 2, `${before.threads} → ${during.threads} threads`);
  const {digest, path: other} = newBlob(MIB);
  assert.equal((await ask(agent.address, other, {keep: false})).digest, digest, 'others are served');
  for (const socket of sockets) socket.destroy();
});
