import {createHash} from 'node:crypto';
import type {LockedPackage} from './lock-file.ts';

/** The program that a bill is about. */
export interface Product {
  readonly name: string;
  readonly version: string;
  readonly license: string;
}

/**
 * What is in the package, as CycloneDX 1.5. The same packages give the same bytes: its serial number is made from
 * them, and it has no time in it.
 * @see https://cyclonedx.org/docs/1.5/json/
 */
export function newSbom(product: Product, packages: readonly LockedPackage[]): string {
  const components = packages.map(newComponent).toSorted((a, b) => (a['bom-ref'] < b['bom-ref'] ? -1 : 1));
  const body = {
    metadata: {
      component: {
        'bom-ref': purl(product),
        type: 'application',
        name: product.name,
        version: product.version,
        purl: purl(product),
        licenses: [{license: {id: product.license}}],
      },
    },
    components,
  };
  const bill = {
    bomFormat: 'CycloneDX',
    specVersion: '1.5',
    serialNumber: `urn:uuid:${uuidOf(JSON.stringify(body))}`,
    version: 1,
    ...body,
  };
  return `${JSON.stringify(bill, undefined, 1)}\n`;
}

function newComponent(locked: LockedPackage) {
  const {name, version, license, integrity, path} = locked;
  const [, algorithm = '', digest = ''] = /^sha(256|384|512)-(.+)$/.exec(integrity ?? '') ?? [];
  return {
    // The same version may be installed in two places.
    'bom-ref': `${purl(locked)}#${path}`,
    type: 'library',
    name,
    version,
    purl: purl(locked),
    ...(license === undefined ? {} : {licenses: [{license: {id: license}}]}),
    ...(digest === ''
      ? {}
      : {hashes: [{alg: `SHA-${algorithm}`, content: Buffer.from(digest, 'base64').toString('hex')}]}),
  };
}

/** @see https://github.com/package-url/purl-spec: the `@` of a scope is escaped. */
function purl({name, version}: {readonly name: string; readonly version: string}): string {
  return `pkg:npm/${name.replace(/^@/, '%40')}@${version}`;
}

/** A version 8 UUID (RFC 9562 §5.8): its bits are ours to choose. */
function uuidOf(text: string): string {
  const hex = createHash('sha256').update(text).digest('hex');
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-8${hex.slice(13, 16)}-a${hex.slice(17, 20)}-${hex.slice(20, 32)}`;
}
