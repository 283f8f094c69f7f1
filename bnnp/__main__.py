"""``python -m bnnp`` is ``bnnp``."""

from __future__ import annotations

from bnnp.cli import main

if __name__ == "__main__":
    main()
