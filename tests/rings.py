"""What is left for Python to look for: things that refer to each other in a ring."""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def rings_left(*of: str) -> Iterator[Counter[str]]:
    """Count, by class, what of these packages was left in rings when the block ends.

    No garbage is looked for meanwhile.
    """
    left: Counter[str] = Counter()
    gc.collect()
    gc.disable()
    try:
        yield left
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        kinds = [type(each) for each in gc.garbage]
        left.update(
            f"{k.__module__}.{k.__qualname__}" for k in kinds if k.__module__.startswith(of)
        )
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()
