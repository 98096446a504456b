"""An answer as a script that calls a function of the page (JSONP)."""

from __future__ import annotations

import re

_NAME = r"[A-Za-z_$][A-Za-z0-9_$]{0,63}"
_CALLBACK = re.compile(rf"{_NAME}(\.{_NAME}){{0,3}}", re.ASCII)


def is_callback(name: str) -> bool:
    """Whether it is the name of a function, and nothing that could do anything else."""
    return _CALLBACK.fullmatch(name) is not None


def script(callback: str, json: str) -> str:
    """A call with `json`, which is as of `frames.dumped`.

    The comment keeps it from beginning with what the caller has chosen; no `<` ends the script
    where it is embedded.
    """
    return f"/**/{callback}({json.replace('<', chr(92) + 'u003c')});"
