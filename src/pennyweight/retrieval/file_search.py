"""`file_search` as requests to models ask for it: `PassageSource` over the vector stores."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from pennyweight.answers.field_tables import FieldTables
from pennyweight.answers.fields import Field, ListOf, OneOf, ParameterError, Text
from pennyweight.retrieval.citations import cite
from pennyweight.retrieval.search_fields import FILTERS, MAX_NUM_RESULTS, RANKING, read_search

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pennyweight.answers.passages import Citation, Passage
    from pennyweight.answers.principal import Principal
    from pennyweight.retrieval.search import Searcher

NUM_PASSAGES: Final = 5
"""Shown to the model where the request does not say: a small one answers worse, and later, with more."""
_MAX_STORES: Final = 16
_FIELDS: Final = FieldTables(
    honoured=(
        Field(name="type", kind=OneOf(("file_search",)), doc=""),
        Field(name="vector_store_ids", kind=ListOf(item=Text(empty=False), low=1, high=_MAX_STORES), doc=""),
        FILTERS,
        MAX_NUM_RESULTS,
        RANKING,
    ),
    advisory=(),
    neutral=(),
    required=("type", "vector_store_ids"),
)


class FileSearches:
    """A `PassageSource`."""

    def __init__(self, searcher: Searcher) -> None:
        self._searcher = searcher

    def check(self, tool: Mapping[str, Any], param: str) -> None:
        """Raises ParameterError."""
        _read(tool, param)

    async def passages(self, principal: Principal, tool: Mapping[str, Any], query: str) -> list[Passage]:
        """Raises as `Searcher.search`."""
        values = _read(tool, "tools")
        values.setdefault("max_num_results", NUM_PASSAGES)
        wanted = read_search({**values, "query": (query,)})
        return await self._searcher.search(principal, values["vector_store_ids"], wanted)

    def citations(self, answer: str, passages: Sequence[Passage]) -> list[Citation]:
        return cite(answer, passages)


def _read(tool: Mapping[str, Any], param: str) -> dict[str, Any]:
    try:
        return _FIELDS.read(tool)
    except ParameterError as error:
        inner = error.param
        error.param = f"{param}.{inner}"
        error.message = error.message.replace(f"'{inner}", f"'{error.param}")
        raise
