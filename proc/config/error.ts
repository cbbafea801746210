/** One thing that is wrong with the configuration. */
export interface ConfigIssue {
  /** The key's path, e.g. `upstreams[0].staleIfError.down`; empty for the file as a whole. */
  readonly path: string;
  /** Where it was said: `noost.yaml:14`, `--cache-size`, `NOOST_CACHE_SIZE`, or `default`. */
  readonly origin: string;
  /** What was expected, and what there was instead. */
  readonly message: string;
}

/** The configuration cannot be used. The message lists everything that is wrong, a line each, ready to print. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
  readonly issues: readonly ConfigIssue[];
  constructor(issues: readonly ConfigIssue[]) {
    super(
      [
        issues.length === 1
          ? 'The configuration has an error:'
          : `The configuration has ${String(issues.length)} errors:`,
        ...issues.map(line),
      ].join('\n'),
    );
    this.issues = issues;
  }
}

function line({path, origin, message}: ConfigIssue): string {
  const where = path === '' || path === origin ? origin : `${path} (${origin})`;
  return `  ${where}: ${message}`;
}
