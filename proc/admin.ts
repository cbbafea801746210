import type {IncomingMessage, RequestListener, ServerResponse} from 'node:http';
import type {Registry} from 'prom-client';

export interface AdminParts {
  readonly registry: Registry;
  /** Brings gauges up to date before they are read. */
  readonly refresh: () => Promise<void>;
  /** Why the process is not ready, or `undefined`. Never asks an upstream (E-004). */
  readonly notReady: () => string | undefined;
}

/** `/metrics`, `/livez` and `/readyz`, on a port of their own (D-041). */
export function newAdmin(parts: AdminParts): RequestListener {
  return (req, res) => {
    if (req.method !== 'GET' && req.method !== 'HEAD') return answer(res, 405, 'Only GET and HEAD here\n');
    switch ((req.url ?? '').split('?', 1)[0]) {
      case '/livez':
        return answer(res, 200, 'ok\n'); // that this runs is what it says
      case '/readyz': {
        const reason = parts.notReady();
        return reason === undefined ? answer(res, 200, 'ok\n') : answer(res, 503, `${reason}\n`);
      }
      case '/metrics':
        return void metrics(parts, req, res);
      default:
        return answer(res, 404, 'Here are /metrics, /livez and /readyz\n');
    }
  };
}

async function metrics({registry, refresh}: AdminParts, req: IncomingMessage, res: ServerResponse): Promise<void> {
  try {
    await refresh();
    const open = (req.headers.accept ?? '').includes('application/openmetrics-text');
    const text = open ? await openMetrics(registry) : await registry.metrics();
    answer(res, 200, text, open ? 'application/openmetrics-text; version=1.0.0; charset=utf-8' : registry.contentType);
  } catch (error) {
    answer(res, 500, `${(error as Error).message}\n`);
  }
}

/**
 * The same page as OpenMetrics text (E-003): there a counter's family is named without `_total`, and the page has
 * an end. prom-client chooses the format per registry; we choose it per request.
 */
async function openMetrics(registry: Registry): Promise<string> {
  const text = await registry.metrics();
  const counters = new Set([...text.matchAll(/^# TYPE (\S+)_total counter$/gm)].map(([, name]) => name));
  const families = text.replace(/^# (TYPE|HELP) (\S+)_total /gm, (line, word: string, name: string) =>
    counters.has(name) ? `# ${word} ${name} ` : line,
  );
  return `${families.replace(/\n{2,}/g, '\n')}# EOF\n`;
}

function answer(res: ServerResponse, status: number, text: string, type = 'text/plain; charset=utf-8'): void {
  res
    .writeHead(status, {'content-type': type, 'content-length': Buffer.byteLength(text), 'cache-control': 'no-store'})
    .end(text);
}
