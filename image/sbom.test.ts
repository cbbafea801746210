import assert from 'node:assert/strict';
import {join} from 'node:path';
import {test} from 'node:test';
import {productionPackages} from './lock-file.ts';
import {newSbom} from './sbom.ts';

const LOCK = join(import.meta.dirname, '../package-lock.json');
const PRODUCT = {name: 'noost', version: '1.2.3', license: 'Apache-2.0'};

test('the image holds what the program needs on its processor: no compiler, no test library, no second Node', () => {
  for (const [cpu, other] of [
    ['x64', 'arm64'],
    ['arm64', 'x64'],
  ]) {
    const names = productionPackages(LOCK, cpu ?? '').map(({name}) => name);
    for (const wanted of ['pino', 'undici', 'koffi', `@koromix/koffi-linux-${cpu}`])
      assert.ok(names.includes(wanted), wanted);
    const unwanted = [
      'typescript',
      'oxlint',
      'fast-check',
      '@types/node',
      `node-linux-${cpu}`,
      `@koromix/koffi-linux-${other}`,
    ];
    assert.deepEqual(
      names.filter((name) => unwanted.includes(name)),
      [],
    );
  }
});

test('a bill of materials has every package with its version, licence and digest, and is the same every time', () => {
  const packages = productionPackages(LOCK, 'x64');
  const text = newSbom(PRODUCT, packages);
  assert.equal(newSbom(PRODUCT, packages.toReversed().toReversed()), text);
  const bill = JSON.parse(text) as {
    serialNumber: string;
    components: {'bom-ref': string; purl: string; hashes?: {alg: string; content: string}[]; licenses?: unknown}[];
  };
  assert.match(bill.serialNumber, /^urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-a[0-9a-f]{3}-[0-9a-f]{12}$/);
  assert.equal(bill.components.length, packages.length);
  assert.equal(new Set(bill.components.map((one) => one['bom-ref'])).size, packages.length);
  for (const {purl, hashes, licenses} of bill.components) {
    assert.match(purl, /^pkg:npm\/(?:%40[^/]+\/)?[^@/]+@[^@]+$/);
    assert.match(hashes?.[0]?.content ?? '', /^[0-9a-f]{128}$/, purl);
    assert.ok(licenses, purl);
  }
  assert.notEqual(newSbom(PRODUCT, packages.slice(1)), text);
});
