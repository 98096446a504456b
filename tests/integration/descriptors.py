"""Very many connections at once need more descriptors than a process is given unasked."""

from __future__ import annotations

import os
import resource

import pytest


def need_descriptors(count: int) -> None:
    """Let this process have so many. Where it may not: a failure on CI, elsewhere a skip."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, count), max(hard, count)))
    except (ValueError, OSError):  # the hard limit is root's alone to raise
        text = f"needs {count} descriptors, the system grants {hard}: see ulimit -Hn"
        if os.environ.get("CI") == "true":
            pytest.fail(text)
        pytest.skip(text)
