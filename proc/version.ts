import {readFileSync} from 'node:fs';
import {join} from 'node:path';

/** The version of package.json, which is beside the rooms in a checkout and in the package. */
export const VERSION: string = readVersion();

function readVersion(): string {
  const text = readFileSync(join(import.meta.dirname, '..', 'package.json'), 'utf8');
  return (JSON.parse(text) as {version: string}).version; // our own file
}
