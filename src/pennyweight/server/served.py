"""What this server serves, as routes see it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pennyweight.errors import ModelNotFoundError


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedModel:
    """One model: `created` is in seconds since 1970, `fingerprint` changes when its answers could."""

    name: str
    created: int
    fingerprint: str

    def require(self, name: str) -> None:
        """Raise ModelNotFoundError unless `name` is the one served."""
        if name != self.name:
            message = f"The model '{name}' does not exist here; this server serves '{self.name}'."
            raise ModelNotFoundError(message, param="model")

    def card(self) -> dict[str, Any]:
        """OpenAI's model object."""
        return {"id": self.name, "object": "model", "created": self.created, "owned_by": "pennyweight"}
