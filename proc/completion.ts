import type {Command} from './command.ts';

export interface Known {
  readonly name: string;
  readonly summary: string;
}

/**
 * What may stand in place of the last of `words`.
 * @param command the one that is being typed, once its name is complete.
 */
export function completions(
  words: readonly string[],
  commands: readonly Known[],
  command: Command | undefined,
): readonly string[] {
  const typing = words.at(-1) ?? '';
  const fitting = (candidates: readonly string[]): readonly string[] =>
    candidates.filter((candidate) => candidate.startsWith(typing));
  if (command === undefined) return fitting([...commands.map(({name}) => name), '--help', '--version']);
  const before = words.at(-2);
  const flag = command.flags.find(
    ({name, short}) => before === `--${name}` || (short !== undefined && before === `-${short}`),
  );
  if (flag?.kind === 'text') return fitting(flag.choices ?? []); // none: the shell offers files
  if (typing.startsWith('-')) return fitting([...command.flags.map(({name}) => `--${name}`), '--help']);
  return fitting(command.positionals.flatMap(({choices}) => choices ?? []));
}

/** A script to source. The shell asks `noost __complete` for each word; where there is no answer, it offers files. */
export function completionScript(shell: 'bash' | 'zsh'): string {
  return shell === 'bash' ? BASH : ZSH;
}

const BASH = `# Completion of noost for bash: source <(noost completion bash)
_noost() {
  local IFS=$'\\n'
  COMPREPLY=($("\${COMP_WORDS[0]}" __complete "\${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null))
}
complete -o default -F _noost noost
`;

const ZSH = `#compdef noost
# Completion of noost for zsh: source <(noost completion zsh)
_noost() {
  local -a found
  found=("\${(@f)$("\${words[1]}" __complete "\${(@)words[2,CURRENT]}" 2>/dev/null)}")
  found=("\${(@)found:#}")
  if (( \${#found} )); then compadd -a found; else _files; fi
}
compdef _noost noost
`;
