import {relative} from 'node:path';

interface Reported {
  readonly type: string;
  readonly data: {readonly file?: string};
}

/** A reporter for `node --test`: the files in which a test failed, a line each, relative to the working directory. */
export default async function* failedFiles(events: AsyncIterable<Reported>): AsyncGenerator<string> {
  const seen = new Set<string>();
  for await (const {type, data} of events) {
    if (type !== 'test:fail' || data.file === undefined || seen.has(data.file)) continue;
    seen.add(data.file);
    yield `${relative(process.cwd(), data.file)}\n`;
  }
}
