"""A request's adapter on its way to the decoder, and which adapters stay in memory."""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pennyweight.engine.adapters import AdapterLimits, AdapterPool, NoAdapters
from pennyweight.engine.limits import Limits
from pennyweight.engine.loop import StepLoop
from pennyweight.errors import (
    InvalidRequestError,
    ModelFileError,
    ModelUnavailableError,
    OverloadedError,
)
from pennyweight.models.adapter.files import AdapterFiles
from tests.engine import toy_decoder
from tests.engine.listening import Listening
from tests.engine.requests import NAMESPACE, request, tokens
from tests.engine.toy_decoder import END_TOKENS, VOCAB_SIZE, Decoder

if TYPE_CHECKING:
    from collections.abc import Callable

    from pennyweight.core import Request
    from pennyweight.engine.adapters import Adapters

LIMITS = Limits(vocab_size=VOCAB_SIZE, context_length=2048, num_pages=64)


@dataclass(frozen=True)
class Packed:
    """What a decoder would compute with."""

    name: str
    nbytes: int = 10


def files(name: str) -> Callable[[], AdapterFiles]:
    return lambda: AdapterFiles(name=name, config={}, weights=Path("nowhere"))


def pool(*, max_bytes: int = 30, max_adapters: int = 9) -> AdapterPool:
    """Room for three of `Packed`."""
    limits = AdapterLimits(max_bytes=max_bytes, max_adapters=max_adapters)
    return AdapterPool(lambda read: Packed(read.name), limits=limits)


def with_poet() -> AdapterPool:
    adapters = pool()
    adapters.load("poet", files("poet"))
    return adapters


def adapted(name: str | None) -> Request:
    return request(tokens(10), namespace=replace(NAMESPACE, adapter=name), adapter=name)


@pytest.mark.parametrize(("name", "native"), [("poet", Packed("poet")), (None, None)])
def test_every_row_carries_the_adapter(name: str | None, native: Packed | None) -> None:
    decoder = Decoder(num_pages=64)
    loop = StepLoop(decoder, toy_decoder, limits=LIMITS, end_tokens=END_TOKENS, adapters=with_poet())
    heard = Listening()
    loop.submit(adapted(name), heard)
    heard.wait()
    loop.close()
    assert [row.adapter for rows, _ in decoder.plans for row in rows] == [native, native]  # prompt, answer


@pytest.mark.parametrize(("known", "loaded"), [(with_poet(), "poet"), (NoAdapters(), "none"), (None, "none")])
def test_an_unknown_adapter_is_refused_at_once(known: Adapters | None, loaded: str) -> None:
    decoder = Decoder(num_pages=64)
    loop = StepLoop(decoder, toy_decoder, limits=LIMITS, end_tokens=END_TOKENS, adapters=known)
    with pytest.raises(InvalidRequestError, match=f"'bard' is not loaded; loaded are: {loaded}") as caught:
        loop.submit(adapted("bard"), Listening())
    loop.close()
    assert caught.value.param == "model"
    assert not decoder.plans


def test_the_least_recently_used_goes_first() -> None:
    adapters = pool()
    for name in ("a", "b", "c"):
        adapters.load(name, files(name))
    lease = adapters.lease("a")
    assert lease is not None
    lease.release()
    adapters.load("d", files("d"))
    assert adapters.lease("b") is None
    counts = adapters.counts()
    assert (counts.loaded, counts.nbytes, counts.loads, counts.evictions) == (3, 30, 4, 1)


def test_one_in_use_is_not_put_out() -> None:
    adapters = pool(max_adapters=2)
    adapters.load("a", files("a"))
    with adapters.lease("a") or pytest.fail("it was loaded"):
        adapters.load("b", files("b"))
        adapters.load("c", files("c"))  # in the place of b
        assert adapters.get("a") == Packed("a")
        with adapters.lease("c") or pytest.fail("it was loaded"), pytest.raises(OverloadedError) as caught:
            adapters.load("d", files("d"))
    assert caught.value.retry_after_s is not None
    adapters.load("d", files("d"))
    assert adapters.lease("a") is None


def test_one_that_is_dropped_stays_as_long_as_it_is_held() -> None:
    adapters = with_poet()
    first, second = adapters.lease("poet"), adapters.lease("poet")
    assert first is not None
    assert second is not None
    adapters.drop("poet")
    adapters.drop("nobody")
    first.release()
    assert adapters.get("poet") == Packed("poet")
    second.release()
    assert adapters.lease("poet") is None
    assert adapters.counts().nbytes == 0


def test_what_cannot_be_loaded_is_told() -> None:
    def broken() -> AdapterFiles:
        raise ModelFileError("the adapter x: it has no tensors")

    adapters = pool(max_bytes=5)
    with pytest.raises(ModelUnavailableError, match="cannot be loaded: the adapter x: it has no tensors"):
        adapters.load("x", broken)
    with pytest.raises(ModelUnavailableError, match="more --memory"):
        adapters.load("large", files("large"))
    assert adapters.counts().loads == 0


def test_many_who_ask_at_once_load_it_once() -> None:
    adapters = pool()
    threads = [threading.Thread(target=adapters.load, args=("a", files("a"))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert adapters.counts().loads == 1
