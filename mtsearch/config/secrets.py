"""Refusal of settings that hold a secret. Settings are written to the files of a run."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from mtsearch.config.errors import BadInput

_URL = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?P<rest>[^\s'\"<>]*)")
_PARAMETER = re.compile(r"[?&;#](?P<name>[^=&;#\s]+)=(?P<value>[^&;#\s]+)")
_SECRET = re.compile(
    r"token|secret|passw|pwd|passphrase|credential|signature|api[-_.]?key|access[-_.]?key"
    r"|account[-_.]?key|private[-_.]?key|session[-_.]?key|^(?:.*[-_.])?(?:key|sig|sas|auth|pass)$",
    re.IGNORECASE,
)
_KNOWN = re.compile(
    r"\b(?:gh[pousr]_[A-Za-z0-9]{20,}|github_pat_\w{20,}|glpat-[\w-]{16,}|hf_[A-Za-z0-9]{20,}"
    r"|AKIA[A-Z0-9]{16}|ASIA[A-Z0-9]{16}|xox[abprs]-[\w-]{10,}|sk-[A-Za-z0-9_-]{20,}"
    r"|eyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]+)"
)
"""Tokens that can be recognised by their form: GitHub, GitLab, Hugging Face, AWS, Slack, OpenAI,
JSON web tokens."""
_ADVICE = (
    "Settings are written to the run directory: leave the secret to the environment or to the"
    " configuration of the service"
)


def find_secret(text: str) -> str | None:
    """What kind of secret a text holds, for an error sentence; None where none is found.

    Found are a user with a password in a URL, a lone user in an ``http`` URL (a token), query
    parameters and fragments with the name of a secret, and tokens of well-known forms.
    """
    for url in _URL.finditer(text):
        host = re.split(r"[/?#]", url["rest"], maxsplit=1)[0]
        # a password may contain `/`, `?` or `#`; then the user and `:` stand before them
        user = host.rpartition("@")[0]
        if not user and "@" in url["rest"] and re.match(r"[^/?#:@]+:(?!\d+(?:[/?#]|$))", host):
            user = url["rest"].rpartition("@")[0]
        if ":" in user:
            return f"a URL with a password ({url['scheme']}://***@...)"
        if user and url["scheme"].lower() in ("http", "https"):
            return f"a URL with a user or token ({url['scheme']}://***@...)"
        for found in _PARAMETER.finditer(url["rest"]):
            if _SECRET.search(found["name"]):
                return f"a URL with a secret (`{found['name']}=***`)"
    return "an access token" if _KNOWN.search(text) else None


def refuse_secrets(value: Any, path: str = "") -> None:
    """Refuse a setting, or a tree of settings, in which a text contains a secret.

    Args:
        value: a text, or mappings and lists of texts. Keys are searched, too.
        path: the key of the setting.

    Raises:
        BadInput: a text contains a secret. The sentence names the key and does not repeat the
        secret.
    """
    if isinstance(value, str):
        if kind := find_secret(value):
            raise BadInput(f"`{path}` contains {kind}. {_ADVICE}.")
    elif isinstance(value, Mapping):
        for key, part in value.items():
            if kind := find_secret(str(key)):
                raise BadInput(f"a key of `{path or 'the space'}` contains {kind}. {_ADVICE}.")
            refuse_secrets(part, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list | tuple):
        for number, part in enumerate(value):
            refuse_secrets(part, f"{path}[{number}]")
