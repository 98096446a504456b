"""`agent-endpoint`, and `python -m endpoint`: the command line."""

from __future__ import annotations

import gc


def main() -> None:
    """Entry point."""
    gc.disable()  # nearly all that modules make stays: looks for garbage would take a quarter more
    try:
        from endpoint.app.cli import app
    finally:
        gc.enable()
    app()


if __name__ == "__main__":
    main()
