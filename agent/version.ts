import {readFileSync} from 'node:fs';

/** The version of package.json, which is beside the rooms in a checkout and in the package. */
export const VERSION: string = (
  JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as {version: string}
).version;
