"""A request's adapter on its way to the decoder: a name that the pool turns into a slot, or refuses."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from pennyweight.engine.adapters import NoAdapters
from pennyweight.engine.limits import Limits
from pennyweight.engine.loop import StepLoop
from pennyweight.errors import InvalidRequestError
from tests.engine import toy_decoder
from tests.engine.listening import Listening
from tests.engine.requests import NAMESPACE, request, tokens
from tests.engine.toy_decoder import END_TOKENS, VOCAB_SIZE, Decoder

if TYPE_CHECKING:
    from pennyweight.core import Request
    from pennyweight.engine.adapters import AdapterPool

LIMITS = Limits(vocab_size=VOCAB_SIZE, context_length=2048, num_pages=64)


class Poets:
    """A pool with one adapter loaded."""

    def slot(self, name: str) -> int:
        if name != "poet":
            raise InvalidRequestError(f"Adapter {name!r} is not loaded; loaded are: poet.", param="model")
        return 5


def adapted(name: str | None) -> Request:
    return request(tokens(10), namespace=replace(NAMESPACE, adapter=name), adapter=name)


@pytest.mark.parametrize(("name", "slot"), [("poet", 5), (None, None)])
def test_every_row_carries_the_slot(name: str | None, slot: int | None) -> None:
    decoder = Decoder(num_pages=64)
    loop = StepLoop(decoder, toy_decoder, limits=LIMITS, end_tokens=END_TOKENS, adapters=Poets())
    heard = Listening()
    loop.submit(adapted(name), heard)
    heard.wait()
    loop.close()
    assert [row.adapter for rows, _ in decoder.plans for row in rows] == [slot, slot]  # prompt, then answer


@pytest.mark.parametrize(("pool", "loaded"), [(Poets(), "poet"), (NoAdapters(), "none"), (None, "none")])
def test_an_unknown_adapter_is_refused_at_once(pool: AdapterPool | None, loaded: str) -> None:
    decoder = Decoder(num_pages=64)
    loop = StepLoop(decoder, toy_decoder, limits=LIMITS, end_tokens=END_TOKENS, adapters=pool)
    with pytest.raises(InvalidRequestError, match=f"'bard' is not loaded; loaded are: {loaded}") as caught:
        loop.submit(adapted("bard"), Listening())
    loop.close()
    assert caught.value.param == "model"
    assert not decoder.plans
