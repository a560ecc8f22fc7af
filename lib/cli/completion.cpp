// snakepit completion SHELL

#include "cli/commands.hpp"
#include "cli/common.hpp"

#include <fmt/format.h>
#include <CLI/CLI.hpp>
#include <algorithm>
#include <memory>
#include <set>
#include <string>
#include <vector>

namespace snakepit::cli {
namespace {

/// A command as the scripts need it.
struct described {
    std::string name;
    std::string what;
    std::vector<std::string> options;  ///< "--json"
    std::set<std::string> with_value;  ///< those of them that take one
    bool takes_worker = false;         ///< as its first argument
};

std::vector<described> commands_of(const CLI::App& program) {
    std::vector<described> all;
    for (const auto* sub : program.get_subcommands([](const CLI::App*) { return true; })) {
        described d{sub->get_name(), sub->get_description(), {}, {}};
        for (const auto* option : sub->get_options()) {
            for (const auto& name : option->get_lnames()) {
                d.options.push_back("--" + name);
                if (option->get_items_expected_max() > 0) d.with_value.insert("--" + name);
            }
            d.takes_worker = d.takes_worker || option->get_name(true) == "worker";
        }
        std::ranges::sort(d.options);
        all.push_back(std::move(d));
    }
    return all;
}

std::string joined(const std::vector<std::string>& words) {
    std::string text;
    for (const auto& w : words) text += (text.empty() ? "" : " ") + w;
    return text;
}

std::string names_of(const std::vector<described>& all, bool (*wanted)(const described&), const char* between) {
    std::string text;
    for (const auto& d : all)
        if (wanted(d)) text += (text.empty() ? "" : between) + d.name;
    return text;
}

bool any(const described&) { return true; }
bool takes_worker(const described& d) { return d.takes_worker; }

std::string bash(const std::vector<described>& all) {
    std::string cases;
    for (const auto& d : all) cases += fmt::format("        {}) options='{}' ;;\n", d.name, joined(d.options));
    return fmt::format(R"sh(# bash completion of snakepit: source <(snakepit completion bash)
_snakepit() {{
    local word=${{COMP_WORDS[COMP_CWORD]}} before=${{COMP_WORDS[COMP_CWORD - 1]}} command=${{COMP_WORDS[1]}} options= i
    COMPREPLY=()
    if ((COMP_CWORD == 1)); then
        COMPREPLY=($(compgen -W '{0} --help --version' -- "$word"))
        return
    fi
    case $command in
{1}    esac
    # The pool that is meant, if it has been said.
    local pool=()
    for ((i = 2; i < COMP_CWORD; ++i)); do
        [[ ${{COMP_WORDS[i]}} == --pool && -n ${{COMP_WORDS[i + 1]}} ]] && pool=(--pool "${{COMP_WORDS[i + 1]}}")
    done
    if [[ $word == -* ]]; then
        COMPREPLY=($(compgen -W "$options" -- "$word"))
    elif [[ $before == --pool ]]; then
        COMPREPLY=($(compgen -W "$("${{COMP_WORDS[0]}}" ps 2>/dev/null | awk 'NR > 1 {{ print $1 }}')" -- "$word"))
    elif [[ $before == --worker || " {2} " == *" $command "* ]]; then
        COMPREPLY=($(compgen -W "$("${{COMP_WORDS[0]}}" workers --ids "${{pool[@]}}" 2>/dev/null)" -- "$word"))
    elif [[ $command == loglevel ]]; then
        COMPREPLY=($(compgen -W 'debug info warning error off' -- "$word"))
    elif [[ $command == completion ]]; then
        COMPREPLY=($(compgen -W 'bash zsh fish' -- "$word"))
    fi
}}
complete -o default -F _snakepit snakepit
)sh",
                       names_of(all, any, " "), cases, names_of(all, takes_worker, " "));
}

/// Of a text in single quotes that zsh and fish read alike.
std::string quoted(std::string text) {
    std::erase_if(text, [](char c) { return c == '\'' || c == '\\' || c == '[' || c == ']' || c == ':'; });
    return text;
}

std::string zsh(const std::vector<described>& all) {
    std::string names;
    std::string cases;
    for (const auto& d : all) {
        names += fmt::format("    '{}:{}'\n", d.name, quoted(d.what));
        cases += fmt::format("    {}) options=({}) ;;\n", d.name, joined(d.options));
    }
    return fmt::format(R"sh(#compdef snakepit
# zsh completion of snakepit: source <(snakepit completion zsh), behind compinit
_snakepit() {{
  local -a commands options pool
  commands=(
{0}  )
  if ((CURRENT == 2)); then
    _describe command commands
    return
  fi
  local command=$words[2] i
  case $command in
{1}  esac
  for ((i = 3; i < CURRENT; ++i)); do
    [[ $words[i] == --pool ]] && pool=(--pool $words[i + 1])
  done
  if [[ $words[CURRENT] == -* ]]; then
    compadd -- $options
  elif [[ $words[CURRENT - 1] == --pool ]]; then
    compadd -- ${{(f)"$($words[1] ps 2>/dev/null | awk 'NR > 1 {{ print $1 }}')"}}
  elif [[ $words[CURRENT - 1] == --worker || " {2} " == *" $command "* ]]; then
    compadd -- ${{(f)"$($words[1] workers --ids $pool 2>/dev/null)"}}
  elif [[ $command == loglevel ]]; then
    compadd debug info warning error off
  elif [[ $command == completion ]]; then
    compadd bash zsh fish
  else
    _files
  fi
}}
compdef _snakepit snakepit
)sh",
                       names, cases, names_of(all, takes_worker, " "));
}

/// What completes the value of an option.
std::string fish_value_of(const described& of, const std::string& option) {
    if (option == "--pool") return " -x -a '(__snakepit_pools)'";
    if (option == "--worker") return " -x -a '(__snakepit_workers)'";
    return of.with_value.contains(option) ? " -r" : "";
}

std::string fish(const std::vector<described>& all) {
    std::string text =
        "# fish completion of snakepit: snakepit completion fish | source\n"
        "function __snakepit_workers\n"
        "    # Of the pool that is meant, if it has been said.\n"
        "    set -l words (commandline -opc)\n"
        "    set -l pool\n"
        "    if set -l at (contains -i -- --pool $words); and test $at -lt (count $words)\n"
        "        set pool --pool $words[(math $at + 1)]\n"
        "    end\n"
        "    snakepit workers --ids $pool 2>/dev/null\n"
        "end\n"
        "function __snakepit_pools\n"
        "    snakepit ps 2>/dev/null | awk 'NR > 1 { print $1 }'\n"
        "end\n";
    for (const auto& d : all) {
        text += fmt::format("complete -c snakepit -n __fish_use_subcommand -f -a {} -d '{}'\n", d.name, quoted(d.what));
        for (const auto& o : d.options)
            text += fmt::format("complete -c snakepit -n '__fish_seen_subcommand_from {}' -l {}{}\n", d.name,
                                o.substr(2), fish_value_of(d, o));
    }
    text += fmt::format(
        "complete -c snakepit -n '__fish_seen_subcommand_from {}' -f -a "
        "'(__snakepit_workers)'\n",
        names_of(all, takes_worker, " "));
    text +=
        "complete -c snakepit -n '__fish_seen_subcommand_from loglevel' -f -a 'debug info warning error off'\n"
        "complete -c snakepit -n '__fish_seen_subcommand_from completion' -f -a 'bash zsh fish'\n";
    return text;
}

}  // namespace

command add_completion(CLI::App& to) {
    auto shell = std::make_shared<std::string>();
    to.footer("\nexample, in ~/.bashrc:\n  source <(snakepit completion bash)\n");
    to.add_option("shell", *shell, "bash, zsh or fish")->required()->check(CLI::IsMember({"bash", "zsh", "fish"}));
    return [shell, &to] {
        const auto all = commands_of(*to.get_parent());
        auto script = *shell == "bash" ? bash(all) : *shell == "zsh" ? zsh(all) : fish(all);
        script.pop_back();
        return print_line(script);
    };
}

}  // namespace snakepit::cli
