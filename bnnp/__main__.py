"""The command ``bnnp``, also as ``python -m bnnp``."""

from __future__ import annotations

import sys


def main() -> None:
    """Run :func:`bnnp.cli.main`; Ctrl-C while it is being loaded has the usual exit code and no traceback."""
    try:
        from bnnp.cli import main as command

        command()
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
