"""Which adapters the decoder has loaded, as the engine sees them: names in, slots of the decoder out."""

from __future__ import annotations

from typing import Protocol

from pennyweight.errors import InvalidRequestError


class AdapterPool(Protocol):
    """Asked once for each request that names an adapter, from the thread that submits it."""

    def slot(self, name: str) -> int:
        """The decoder's slot of adapter `name`. InvalidRequestError names it and the ones that are loaded."""
        ...


class NoAdapters:
    """The pool of an engine that has none loaded."""

    def slot(self, name: str) -> int:
        raise InvalidRequestError(
            f"Adapter {name!r} is not loaded; loaded are: none. Use the model itself.", param="model"
        )
