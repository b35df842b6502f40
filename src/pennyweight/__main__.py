"""`python -m pennyweight` is `penny`."""

from __future__ import annotations

from pennyweight.cli.app import main

if __name__ == "__main__":
    main()
