"""The tables, one file per noun. Whoever needs all of them (migrations, `verify`) imports this package."""

from pennyweight.store.tables import projects

__all__ = ["projects"]
