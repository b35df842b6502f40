"""The body of `POST /v1/vector_stores/{id}/search`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from pennyweight.answers.field_tables import FieldTables, Neutral
from pennyweight.answers.fields import (
    Field,
    Integer,
    ListOf,
    Number,
    OneOf,
    ParameterError,
    Text,
    unknown,
    wrong_type,
)
from pennyweight.retrieval.filters import FILTER_SCHEMA, read_filter
from pennyweight.retrieval.ranking import Mix
from pennyweight.retrieval.search import Wanted

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pennyweight.retrieval.filters import Filter

MAX_RESULTS: Final = 50
_MAX_QUERIES: Final = 16
_WEIGHTS: Final = ("embedding_weight", "text_weight")
_RANKERS: Final = OneOf(("auto", "none", "default-2024-11-15", "default_2024_08_21"))
_SHARE: Final = Number(low=0.0, high=1.0)
_WEIGHT: Final = Number(low=0.0, high=1e6)


@dataclass(frozen=True, slots=True)
class FilterField:
    """A filter over attributes."""

    def read(self, value: object, param: str) -> Filter:
        return read_filter(value, param)

    @property
    def schema(self) -> dict[str, Any]:
        return FILTER_SCHEMA


@dataclass(frozen=True, slots=True, kw_only=True)
class RankingOptions:
    """What a score must be, and what it is made of."""

    threshold: float = 0.0
    mix: Mix = field(default_factory=Mix)


@dataclass(frozen=True, slots=True)
class RankingField:
    """`ranker`, `score_threshold`, `hybrid_search`."""

    def read(self, value: object, param: str) -> RankingOptions:
        if not isinstance(value, dict):
            raise wrong_type(param, "an object", value)
        known = ("ranker", "score_threshold", "hybrid_search")
        for name in value:
            if name not in known:
                raise unknown(f"{param}.{name}", [f"{param}.{one}" for one in known])
        given = {name: item for name, item in value.items() if item is not None}
        if "ranker" in given:
            _RANKERS.read(given["ranker"], f"{param}.ranker")
        return RankingOptions(
            threshold=_SHARE.read(given.get("score_threshold", 0.0), f"{param}.score_threshold"),
            mix=_mix(given["hybrid_search"], f"{param}.hybrid_search") if "hybrid_search" in given else Mix(),
        )

    @property
    def schema(self) -> dict[str, Any]:
        weights = dict.fromkeys(_WEIGHTS, _WEIGHT.schema)
        return {
            "type": "object",
            "properties": {
                "ranker": _RANKERS.schema,
                "score_threshold": _SHARE.schema,
                "hybrid_search": {"type": "object", "required": list(_WEIGHTS), "properties": weights},
            },
        }


def _mix(value: object, param: str) -> Mix:
    if not isinstance(value, dict):
        raise wrong_type(param, "an object", value)
    for name in value:
        if name not in _WEIGHTS:
            raise unknown(f"{param}.{name}", [f"{param}.{one}" for one in _WEIGHTS])
    meaning, words = (_WEIGHT.read(value.get(name, 0.0), f"{param}.{name}") for name in _WEIGHTS)
    if meaning + words == 0:
        message = f"One of '{param}.embedding_weight' and '{param}.text_weight' must be above 0."
        raise ParameterError(message, param=param, code="invalid_value")
    return Mix(meaning=meaning / (meaning + words))


FILTERS: Final = Field(
    name="filters",
    kind=FilterField(),
    doc="By attributes of files: `eq`, `ne`, `gt`, `gte`, `lt`, `lte`, `in`, `nin`, joined by `and`, `or`.",
)
RANKING: Final = Field(
    name="ranking_options",
    kind=RankingField(),
    doc="`score_threshold`: what scores less is left out; `hybrid_search`: how much meaning "
    "(`embedding_weight`) and words (`text_weight`) count. There is one `ranker`, by any name.",
)
MAX_NUM_RESULTS: Final = Field(
    name="max_num_results", kind=Integer(low=1, high=MAX_RESULTS), doc="10 if it is not given."
)
SEARCH_FIELDS: Final = FieldTables(
    honoured=(
        Field(
            name="query",
            kind=ListOf(item=Text(empty=False), low=1, high=_MAX_QUERIES, single=True),
            doc="A text, or several: what is found for any of them.",
        ),
        FILTERS,
        MAX_NUM_RESULTS,
        RANKING,
    ),
    advisory=(),
    neutral=(Neutral(name="rewrite_query", values=(False,), reason="the query is searched as it is"),),
    required=("query",),
)


def read_search(values: Mapping[str, Any]) -> Wanted:
    """What `SEARCH_FIELDS` read."""
    ranking: RankingOptions = values.get("ranking_options", RankingOptions())
    return Wanted(
        queries=values["query"],
        max_results=values.get("max_num_results", 10),
        filter=values.get("filters"),
        threshold=ranking.threshold,
        mix=ranking.mix,
    )
