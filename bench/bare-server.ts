import {readFileSync} from 'node:fs';
import {createServer} from 'node:http';

/** What `contestants/bare.ts` writes. */
interface Answers {
  readonly host: string;
  readonly port: number;
  readonly answers: readonly {
    readonly path: string;
    readonly file: string;
    readonly headers: Readonly<Record<string, string>>;
  }[];
}

const {host, port, answers} = JSON.parse(readFileSync(process.argv[2] ?? '', 'utf8')) as Answers;
/** Path → what is answered to it. */
const byPath = new Map(
  answers.map(({path, file, headers}) => {
    const bytes = readFileSync(file);
    return [path, {bytes, headers: {...headers, 'content-length': bytes.length}}] as const;
  }),
);

createServer((req, res) => {
  const found = byPath.get(req.url ?? '');
  if (found !== undefined) res.writeHead(200, found.headers).end(req.method === 'HEAD' ? undefined : found.bytes);
  else res.writeHead(req.url === '/v2/' ? 200 : 404, {'content-length': 0}).end();
}).listen(port, host, 4096);
