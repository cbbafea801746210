import assert from 'node:assert/strict';
import {randomBytes} from 'node:crypto';
import {once} from 'node:events';
import {writeFile} from 'node:fs/promises';
import {createServer, type Server} from 'node:https';
import type {AddressInfo} from 'node:net';
import {dirname, join} from 'node:path';
import type {TLSSocket} from 'node:tls';
import {test} from 'node:test';
import {digestOf} from '../../oci/digest.ts';
import {AgentRig} from '../agent-rig.ts';
import {ask} from '../ask.ts';
import {newSelfSigned, type SelfSigned} from '../self-signed.ts';

// A client certificate is a credential of the node's like a password (design §8): what it opens is for the node's
// runtime only.

const SECRET = 'a-secret-of-the-node-0123456789';
const PROVEN = {'noost-node-secret': SECRET};

test("what an upstream shows to the node's client certificate is not served without the node's secret", async () => {
  await using own = await newSelfSigned();
  const bytes = randomBytes(5000);
  const digest = digestOf(bytes);
  const {server, shown} = await startRegistry(own, bytes);
  const secretFile = join(dirname(own.certFile), 'secret');
  await writeFile(secretFile, SECRET);
  const tls = {caFile: own.certFile, certFile: own.certFile, keyFile: own.keyFile};
  const upstreams = [{host: 'reg.test', url: `https://127.0.0.1:${(server.address() as AddressInfo).port}`, tls}];
  await using agent = await AgentRig.start({secretFile, config: {cache: {minFreeDisk: '0%'}, upstreams}});
  const path = `/v2/private/blobs/${digest}?ns=reg.test`;

  assert.equal((await ask(agent.address, path)).status, 404, 'cold');
  assert.deepEqual(shown, [false], 'the certificate was not used for who proved nothing');
  assert.ok((await ask(agent.address, path, {headers: PROVEN})).body.equals(bytes));
  assert.deepEqual(shown, [false, true]);
  for (const headers of [{}, {range: 'bytes=0-9'}, {'if-none-match': '*'}])
    assert.equal((await ask(agent.address, path, {headers})).status, 404, 'from the cache');
  assert.ok((await ask(agent.address, path, {headers: PROVEN})).body.equals(bytes));
  server.closeAllConnections();
  server.close();
});

test('an agent whose upstream has a client certificate does not start before it is said who may use it', async () => {
  await using own = await newSelfSigned();
  const tls = {certFile: own.certFile, keyFile: own.keyFile};
  const config = {
    listeners: [{address: '127.0.0.1:0', door: 'runtime'}],
    upstreams: [{host: 'reg.test', tls}],
  };
  await assert.rejects(AgentRig.start({config}), /reg\.test.*has credentials, so say who may have what they fetch/s);
});

/** Has one blob, for who shows a certificate. `shown` says of each request whether one was. */
async function startRegistry(
  {cert, key}: SelfSigned,
  bytes: Buffer,
): Promise<{readonly server: Server; readonly shown: boolean[]}> {
  const shown: boolean[] = [];
  const server = createServer({cert, key, ca: cert, requestCert: true, rejectUnauthorized: false}, (req, res) => {
    const isKnown = (req.socket as TLSSocket).authorized;
    shown.push(isKnown);
    if (isKnown) res.writeHead(200, {'content-length': bytes.length}).end(bytes);
    else res.writeHead(403, {'content-length': 0}).end();
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {server, shown};
}
