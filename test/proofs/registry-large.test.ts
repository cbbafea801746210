import assert from 'node:assert/strict';
import {createHash} from 'node:crypto';
import {once} from 'node:events';
import {statfs} from 'node:fs/promises';
import {request, type IncomingMessage} from 'node:http';
import {tmpdir} from 'node:os';
import {Readable} from 'node:stream';
import {test} from 'node:test';
import {ALICE, basic, HostedRig} from '../hosted-rig.ts';
import {seededBytes} from '../peers/seeded.ts';

/** More than 32 bits count, in any sign. */
const SIZE = 5 * 1024 ** 3;
/** The layer, what the agent leaves free, and some. */
const ROOM = SIZE + 3 * 1024 ** 3;
/** Far below what a layer held in memory would take, far above what an agent needs. */
const MAX_RESIDENT = 400 << 20;

function ask(registry: HostedRig, method: string, path: string, body?: Readable): Promise<IncomingMessage> {
  const [host = '', port] = registry.address.split(':');
  const headers = {authorization: basic(ALICE)};
  const req = request({host, port, method, path, headers, agent: false});
  if (body === undefined) req.end();
  else body.pipe(req);
  return once(req, 'response').then(([res]) => res as IncomingMessage);
}

test('a layer of 5 GiB, of which nobody says the size, is pushed and pulled in little memory', async (t) => {
  const {bavail, bsize} = await statfs(tmpdir());
  if (bavail * bsize < ROOM) return t.skip('needs 8 GiB of free disk');
  await using registry = await HostedRig.start();
  let largest = 0;
  const look = setInterval(() => {
    void registry.agent.usage().then(({residentBytes}) => (largest = Math.max(largest, residentBytes)));
  }, 500);
  try {
    const hash = createHash('sha256');
    function* layer(): Generator<Buffer> {
      for (const chunk of seededBytes('five', SIZE)) {
        hash.update(chunk);
        yield chunk;
      }
    }
    const start = await ask(registry, 'POST', '/v2/big/one/blobs/uploads/');
    start.resume();
    const location = start.headers.location ?? '';
    const patch = await ask(registry, 'PATCH', location, Readable.from(layer(), {highWaterMark: 4}));
    patch.resume();
    assert.deepEqual([patch.statusCode, patch.headers.range], [202, `0-${SIZE - 1}`]);
    const digest = `sha256:${hash.digest('hex')}`;
    const put = await ask(registry, 'PUT', `${location}?digest=${digest}`);
    put.resume();
    assert.equal(put.statusCode, 201);
    const get = await ask(registry, 'GET', `/v2/big/one/blobs/${digest}`);
    assert.equal(get.headers['content-length'], String(SIZE));
    const back = createHash('sha256');
    for await (const chunk of get as AsyncIterable<Buffer>) back.update(chunk);
    assert.equal(`sha256:${back.digest('hex')}`, digest);
    assert.ok(largest > 0 && largest < MAX_RESIDENT, `${largest} bytes resident`);
  } finally {
    clearInterval(look);
  }
});
