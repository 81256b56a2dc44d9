"""`completion bash|zsh|fish`: the script for a shell, and what that script asks while somebody types.

The answer is one `KIND<tab>VALUE` a line, exact; the script quotes, since only it knows how the word was begun. Nothing is started: the
names of contacts come from a daemon that runs, within a second, or not at all.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem

from p2pmsg.cli import output
from p2pmsg.cli.grammar import command
from p2pmsg.cli.session import Session
from p2pmsg.rpc import locate

if TYPE_CHECKING:
    from p2pmsg.rpc.client import Client

ASKED = "_P2PMSG_COMPLETE"
PATIENCE_S = 1.0
FILES = ("image", "words_file", "report")
"""Options that take a file."""

BASH = """\
# p2pmsg for bash. In ~/.bashrc: eval "$(p2pmsg completion bash)"
_p2pmsg_completion() {
    local kind value current=${COMP_WORDS[COMP_CWORD]}
    COMPREPLY=()
    while IFS=$'\\t' read -r kind value; do
        case $kind in
            file) compopt -o filenames 2>/dev/null; mapfile -t COMPREPLY < <(compgen -f -- "$current"); return ;;
        esac
        case $current in
            [\\"\\']*) COMPREPLY+=("$value") ;;
            *) COMPREPLY+=("$(printf %q "$value")") ;;
        esac
    done < <(IFS=' '; _P2PMSG_COMPLETE=1 COMP_WORDS="${COMP_WORDS[*]}" COMP_CWORD=$COMP_CWORD "$1" 2>/dev/null)
}
complete -o nosort -F _p2pmsg_completion p2pmsg
"""
ZSH = """\
#compdef p2pmsg
# p2pmsg for zsh. In ~/.zshrc, after compinit: eval "$(p2pmsg completion zsh)"
_p2pmsg() {
    local kind value
    local -a values
    while IFS=$'\\t' read -r kind value; do
        case $kind in
            file) _files; return ;;
            *) values+=("$value") ;;
        esac
    done < <(_P2PMSG_COMPLETE=1 COMP_WORDS="${(j: :)words}" COMP_CWORD=$((CURRENT - 1)) ${(Q)words[1]} 2>/dev/null)
    compadd -U -V p2pmsg -a values
}
if [ "$funcstack[1]" = _p2pmsg ]; then _p2pmsg "$@"; else compdef _p2pmsg p2pmsg; fi
"""
FISH = """\
# p2pmsg for fish. Once: mkdir -p ~/.config/fish/completions; p2pmsg completion fish > ~/.config/fish/completions/p2pmsg.fish
function __p2pmsg_complete
    set -l typed (commandline -opc)
    set -l current (commandline -ct)
    env _P2PMSG_COMPLETE=1 COMP_TYPED=(string join \\n -- $typed | string collect) COMP_CURRENT="$current" $typed[1] 2>/dev/null \\
        | while read -d \\t -l kind value
        switch $kind
            case file
                __fish_complete_path (string unescape -- $current)
            case '*'
                echo $value
        end
    end
end
complete --command p2pmsg --no-files --arguments '(__p2pmsg_complete)'
"""
SCRIPTS = {"bash": BASH, "zsh": ZSH, "fish": FISH}


@command("completion")
@click.argument("shell", type=click.Choice(tuple(SCRIPTS)))
def completion(session: Session, shell: str) -> None:
    """Print the script that completes commands and names in a shell; its first lines say where it belongs."""
    session.show({"shell": shell, "script": SCRIPTS[shell]}, lambda each: str(each["script"]).rstrip("\n"))


def answer(program: click.Group, environ: Mapping[str, str] = os.environ) -> None:
    """Write what may stand where somebody types, to stdout; silent where nothing may, or where it takes too long."""
    from click.shell_completion import ShellComplete

    try:
        before, current = typed(environ)
        items = ShellComplete(program, {"obj": Session()}, "p2pmsg", ASKED).get_completions(before, current)
        lines = [f"{item.type}\t{item.value}" for item in items if str(item.value).isprintable()]
    except Exception:  # whatever is wrong with half a command line will be said when it is whole
        return
    if lines:
        output.line("\n".join(lines))


def typed(environ: Mapping[str, str]) -> tuple[list[str], str]:
    """Return the words before the one that is being typed, without the program's name, and that one as far as it goes.

    Raises: ValueError, KeyError.
    """
    from click.shell_completion import split_arg_string

    if "COMP_TYPED" in environ:  # fish takes quotes off by itself, but for the last word
        current = split_arg_string(environ.get("COMP_CURRENT", ""))
        return environ["COMP_TYPED"].split("\n")[1:], current[0] if current else ""
    words, place = split_arg_string(environ["COMP_WORDS"]), int(environ["COMP_CWORD"])
    return words[1:place], words[place] if place < len(words) else ""


def candidates(ctx: click.Context, param: click.Parameter, current: str) -> list[CompletionItem]:
    """Return what an argument or option of ours may be, by what it is called."""
    if param.name in FILES:
        return [CompletionItem(current, type="file")]
    if isinstance(param, click.Argument) and param.name == "key":
        from p2pmsg.config.settings import RULES

        return _beginning(RULES, current)
    if param.name in ("target", "within"):
        return _beginning(["me", *_contacts(ctx)], current)
    if isinstance(param, click.Argument) and param.name == "name" and "contact" in ctx.command_path:
        return _beginning(_contacts(ctx), current)
    return []


def _beginning(words: Iterable[str], current: str) -> list[CompletionItem]:
    return [CompletionItem(word) for word in words if word.casefold().startswith(current.casefold())]


def _contacts(ctx: click.Context) -> list[str]:
    """Return the names of contacts, if a daemon that runs says them soon."""
    from p2pmsg.rpc.client import connect

    signal.signal(signal.SIGALRM, _too_late)
    signal.setitimer(signal.ITIMER_REAL, PATIENCE_S)
    try:
        with connect(locate.profile_folder(os.environ, ctx.find_root().params.get("profile"))) as client:
            return _names(client)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def _names(client: Client) -> list[str]:
    return sorted((contact["name"] for contact in client.call_all("contact.list")), key=str.casefold)


def _too_late(*_: Any) -> None:
    raise TimeoutError
