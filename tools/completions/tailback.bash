# SPDX-License-Identifier: Apache-2.0
# Completion of tailback for bash.
_tailback_options() {
  case $1 in
    record | run) echo "--output --frequency --alloc --alloc-interval --locks --io --duration --delay --follow-children --max-size --config --quiet --force --strict --help" ;;
    report) echo "--json --html --top --min-severity --rule --fail-on --thread --from --to --config --debug-dir --debuginfod --records --force --quiet --help" ;;
    export) echo "--format --kind --output --unit --by-thread --force --quiet --help" ;;
    stacks) echo "--json --full --debug-dir --debuginfod --force --help" ;;
    stop) echo "--help" ;;
    dump) echo "--json --html --top --min-severity --rule --fail-on --thread --from --to --config --debug-dir --debuginfod --force --quiet --help" ;;
    doctor) echo "--json --force --help" ;;
  esac
}

_tailback_values() {
  case $1 in
    --alloc) echo "off sampled exact" ;;
    --locks) echo "off on order" ;;
    --io) echo "off on" ;;
    --follow-children) echo "yes no" ;;
    --min-severity | --fail-on) echo "info low medium high critical" ;;
    --format | -f) echo "folded pprof" ;;
    --kind | -k) echo "cpu heap allocs peak" ;;
    --unit) echo "microseconds samples bytes blocks" ;;
    *) return 1 ;;
  esac
}

_tailback() {
  local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]} command=${COMP_WORDS[1]} values at
  if [ "$COMP_CWORD" -eq 1 ]; then
    mapfile -t COMPREPLY < <(compgen -W "record run report export stacks stop dump doctor help version --help --version" -- "$current")
    return
  fi
  if [ "$command" = record ] || [ "$command" = run ]; then
    for ((at = 2; at < COMP_CWORD; ++at)); do
      case ${COMP_WORDS[at]} in
        --) at=$((at + 1)); break ;;
        -q | --quiet | --force | --help | --*=*) ;;
        -*) at=$((at + 1)) ;;
        *) break ;;
      esac
    done
    # From the program's name on, whatever completes that program.
    if [ "$at" -lt "$COMP_CWORD" ] && declare -F _command_offset >/dev/null; then
      _command_offset "$at"
      return
    fi
  fi
  if values=$(_tailback_values "$previous"); then
    mapfile -t COMPREPLY < <(compgen -W "$values" -- "$current")
  elif [[ $current == -* ]]; then
    mapfile -t COMPREPLY < <(compgen -W "$(_tailback_options "$command")" -- "$current")
  elif [ "$command" = help ]; then
    mapfile -t COMPREPLY < <(compgen -W "record report export stacks stop dump doctor" -- "$current")
  elif [ "$command" = stacks ] || [ "$command" = stop ] || [ "$command" = dump ]; then
    mapfile -t COMPREPLY < <(compgen -W "$(ps -u "$(id -u)" -o pid= | tr -d ' ')" -- "$current")
  elif [ "$command" = record ] || [ "$command" = run ] || [ "$command" = doctor ]; then
    mapfile -t COMPREPLY < <(compgen -c -- "$current"; compgen -f -- "$current")
  else
    mapfile -t COMPREPLY < <(compgen -f -- "$current")
  fi
}
complete -o filenames -F _tailback tailback
