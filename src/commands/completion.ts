/**
 * `platypus completion bash|zsh`: prints a shell script that completes subcommands, options and files.
 */
import { UsageError } from "../errors.ts";
import { parseOptions } from "./options.ts";

export const COMPLETION_HELP = `platypus completion SHELL: print a script that completes commands, options and files

  platypus completion bash > /etc/bash_completion.d/platypus
  source <(platypus completion bash)
  platypus completion zsh > "\${fpath[1]}/_platypus"

  SHELL                bash or zsh

Exit codes: 0 done, 2 wrong usage.
`;

/** Options of a subcommand, from the lines of its help that begin with \`--name\`. */
function optionsIn(help: string): string[] {
  const options = [...help.matchAll(/^ {2}(--[a-z-]+)/gm)].map(([, option]) => option!);
  return [...new Set([...options, "--help"])];
}

/** Prints the script. `helps` holds the help of each subcommand by name. */
export function completion(args: readonly string[], helps: ReadonlyMap<string, string>): void {
  const [shell, ...others] = parseOptions(args, {}).positionals;
  if (others.length > 0 || (shell !== "bash" && shell !== "zsh")) {
    throw new UsageError("completion takes the name of a shell: platypus completion bash, or zsh");
  }
  process.stdout.write(shell === "bash" ? bashScript(helps) : zshScript(helps));
}

function bashScript(helps: ReadonlyMap<string, string>): string {
  const cases = [...helps].map(([command, help]) => `    ${command}) options="${optionsIn(help).join(" ")}" ;;`);
  const global = optionsIn(helps.get("serve") ?? "").join(" ");
  return `# bash completion of platypus; made by: platypus completion bash
_platypus() {
  local word="\${COMP_WORDS[COMP_CWORD]}" command="\${COMP_WORDS[1]}" options
  case "$command" in
${cases.join("\n")}
    *) options="${global} --version" ;;
  esac
  COMPREPLY=()
  if [[ $COMP_CWORD -eq 1 ]]; then
    mapfile -t COMPREPLY < <(compgen -W "${[...helps.keys()].join(" ")} $options" -- "$word")
  elif [[ "$word" == -* ]]; then
    mapfile -t COMPREPLY < <(compgen -W "$options" -- "$word")
  fi
  if [[ \${#COMPREPLY[@]} -eq 0 ]]; then
    compopt -o filenames
    mapfile -t COMPREPLY < <(compgen -f -- "$word")
  fi
}
complete -F _platypus platypus
`;
}

function zshScript(helps: ReadonlyMap<string, string>): string {
  const commands = [...helps].map(([command, help]) => `    '${command}:${quoted(summaryOf(help))}'`);
  const cases = [...helps].map(([command, help]) => `    ${command}) options=(${optionsIn(help).join(" ")}) ;;`);
  return `#compdef platypus
# zsh completion of platypus; made by: platypus completion zsh
_platypus() {
  local -a commands options
  commands=(
${commands.join("\n")}
  )
  case "$words[2]" in
${cases.join("\n")}
    *) options=(${optionsIn(helps.get("serve") ?? "").join(" ")} --version) ;;
  esac
  if (( CURRENT == 2 )); then _describe command commands; fi
  if [[ "$PREFIX" == -* ]]; then compadd -- $options; fi
  _files
}
_platypus "$@"
`;
}

/** The first line of a help, after its colon. */
function summaryOf(help: string): string {
  return help.slice(0, help.indexOf("\n")).replace(/^[^:]*: /, "");
}

function quoted(text: string): string {
  return text.replaceAll("'", "").replaceAll(":", " ");
}
