/** A flag of a command, from which help, completion and refusals are made. */
export interface Flag {
  /** Without dashes. */
  readonly name: string;
  readonly kind: 'text' | 'boolean';
  readonly description: string;
  readonly group: string;
  readonly short?: string;
  /** For help only; the command applies it. */
  readonly shownDefault?: string;
  /** For completion. */
  readonly choices?: readonly string[];
  /** May be said more than once. */
  readonly many?: boolean;
}

export interface Positional {
  readonly name: string;
  readonly description: string;
  readonly optional?: boolean;
  readonly choices?: readonly string[];
  /** The last one only: takes all that follows, which is in `rest`. */
  readonly many?: boolean;
}

/** What was typed. Flags by their names without dashes, several values of one flag as a list. */
export interface Arguments {
  readonly flags: Readonly<Record<string, string | boolean | readonly string[] | undefined>>;
  /** By the positionals' names. */
  readonly positionals: Readonly<Record<string, string | undefined>>;
  /** All words of a positional that takes many. */
  readonly rest?: readonly string[];
}

/** A command of the program. */
export interface Command {
  readonly flags: readonly Flag[];
  readonly positionals: readonly Positional[];
  /** Below the flags in its help. */
  readonly epilogue: string;
  readonly examples: readonly (readonly [command: string, what: string])[];
  /** @returns the exit code. @throws {CommandError} for what a person can be told. */
  run(typed: Arguments): Promise<number>;
}

/** Exit codes of every command. */
export const EXIT = {ok: 0, failed: 1, usage: 2, noAgent: 3, notFound: 4, interrupted: 130} as const;
export type ExitCode = (typeof EXIT)[keyof typeof EXIT];

/** A failure that is told in its own words on standard error. */
export class CommandError extends Error {
  override readonly name = 'CommandError';
  readonly exitCode: ExitCode;
  constructor(exitCode: ExitCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.exitCode = exitCode;
  }
}
