"""Shell completion: ``source <(mtsearch completion bash)``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from mtsearch.commands.base import LEVELS, run_command, show
from mtsearch.config.errors import BadInput, nearest
from mtsearch.config.keys import known_keys
from mtsearch.config.reading import list_spaces, package_folder, read_profiles, read_space

USAGE = """mtsearch completion bash|zsh

Prints the completion script of a shell. Commands, options, keys and the names of spaces, profiles,
controls, datasets and methods are completed; other values as file names.
  bash   source <(mtsearch completion bash)     in ~/.bashrc
  zsh    source <(mtsearch completion zsh)      in ~/.zshrc, after compinit"""

_BASH = """_mtsearch() {
    local IFS=$'\\n'
    COMPREPLY=($(mtsearch completion words "${COMP_LINE:0:COMP_POINT}" 2>/dev/null))
    local word="${COMP_LINE:0:COMP_POINT}"
    word="${word##* }"
    # readline breaks words at = and :, so that only the part after the last one is replaced
    local head="${word%"${word##*[=:]}"}"
    COMPREPLY=("${COMPREPLY[@]#"$head"}")
}
complete -o default -o nospace -F _mtsearch mtsearch"""

_ZSH = """_mtsearch() {
    local -a found
    found=("${(@f)$(mtsearch completion words "$LBUFFER" 2>/dev/null)}")
    if [[ -n "$found" ]]; then
        compadd -Q -U -S '' -- $found
    else
        compset -P '*='
        _files
    fi
}
compdef _mtsearch mtsearch"""

_DATA = ("data.root", "data.store", "plugins")
_OWN: Mapping[str, tuple[str, ...]] = {
    "init": ("to",),
    "run": ("space", "data", "profile", "resume"),
    "train": ("space", "profile", "control", "resume"),
    "prepare": ("dataset", "plugins", "to"),
    "report": ("run", "format", "reference", "plugins"),
    "export": ("run", "pick", "of", "out", "onnx", *_DATA),
    "predict": (
        *("run", "pick", "of", "model", "images", "to", "batch", "device", "column"),
        *_DATA,
    ),
    "runs": ("root", "run", "wait", "to"),
    "schema": ("plugins",),
    "completion": (),
}
_OPTIONS: Mapping[str, tuple[str, ...]] = {
    "run": ("--list", "--cfg", "--dry-run", "--or-resume"),
    "prepare": ("--list", "--new-card"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code: 0 done, 2 bad input."""
    return run_command("completion", USAGE, _completion, arguments, {})


def _completion(words: list[str]) -> int:
    shell, *rest = words
    if shell == "words":
        for line in rest:
            show("\n".join(complete(line)))
        return 0
    scripts = {"bash": _BASH, "zsh": _ZSH}
    if shell not in scripts or rest:
        raise BadInput(f"`{' '.join(words)}` is not a shell. {nearest(shell, scripts)}")
    show(scripts[shell])
    return 0


def complete(line: str) -> list[str]:
    """The words that the last word of a command line ``mtsearch ...`` may become. A key ends in
    ``=``. Empty where file names are to be completed."""
    words = line.split()[1:]
    current = "" if line.endswith(" ") or not words else words.pop()
    if not words:
        from mtsearch.commands.main import COMMANDS

        return _starting(current, [*COMMANDS, "--help", "--version"])
    command = words[0]
    if command not in _OWN:
        return []
    if words[-1] == "--log-level":
        return _starting(current, LEVELS)
    if command == "completion":
        return _starting(current, ["bash", "zsh"])
    if command == "runs" and len(words) == 1 and not current.startswith("-"):
        from mtsearch.commands.runs import ACTIONS

        return _starting(current, list(ACTIONS))
    if current.startswith("-"):
        return _starting(current, [*_OPTIONS.get(command, ()), "--log-level", "--help"])
    given = dict(word.split("=", 1) for word in words if "=" in word)
    key, sign, _ = current.partition("=")
    if sign:
        return _starting(current, [f"{key}={value}" for value in _values(command, key, given)])
    if command == "runs":
        from mtsearch.commands.runs import ACTIONS

        return _starting(current, [f"{key}=" for key in ACTIONS.get(words[1], ())])
    return _starting(current, [f"{key}=" for key in _keys(command) if key not in given])


def _keys(command: str) -> list[str]:
    if command in ("run", "train"):
        return [*_OWN[command], *known_keys()]
    if command == "prepare":
        data = [key for key in known_keys() if key.startswith("data.")]
        return [*_OWN[command], *(key for key in data if key not in ("data.dataset", "data.limit"))]
    return list(_OWN[command])


def _values(command: str, key: str, given: Mapping[str, str]) -> list[str]:
    """The values that can be listed for a key of a command."""
    if key == "space":
        return list(list_spaces())
    if key in ("dataset", "data.dataset"):
        return sorted(path.stem for path in package_folder("datasets").glob("*.yaml"))
    if key in ("run", "resume"):
        return _runs()
    if key in ("profile", "control") and "space" in given:
        try:
            if key == "profile":
                return read_profiles(given["space"])
            return list(read_space(given["space"])["controls"])
        except BadInput:
            return []
    if command == "report" and key == "format":
        return ["html", "md", "csv", "png", "parquet"]
    if command == "export" and key == "onnx":
        return ["true", "false"]
    if command == "predict" and key == "device":
        return ["cpu", "cuda"]
    if command in ("export", "predict") and key == "pick":
        return ["auto", "knee", "best:", "preference:", "bound:", "trial:"]
    return known_keys().get(key, [])


def _runs() -> list[str]:
    """The runs below `results` in the working folder, the newest first."""
    found = [path.parent for path in Path("results").glob("*/*/events.jsonl")]
    return [str(path) for path in sorted(found, reverse=True)[:100]]


def _starting(prefix: str, words: Sequence[str]) -> list[str]:
    return [word for word in words if word.startswith(prefix)]
