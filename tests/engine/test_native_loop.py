"""The step loop on the native decoder of a tiny model: drafts, masks, log-probabilities, shared pages."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from pennyweight.core import MaskProvider
from pennyweight.engine.limits import Limits
from pennyweight.engine.loop import StepLoop
from pennyweight.models.load import load
from tests.engine.listening import Listening
from tests.engine.requests import GREEDY, NAMESPACE, request, tokens
from tests.models.tiny import write_tiny_llama

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pennyweight.core import Request

native = pytest.importorskip("pennyweight.native._native", reason="the extension is not built")

LONG = replace(GREEDY, max_tokens=60)
PROMPT = tokens(150)


@pytest.fixture(scope="module")
def loop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StepLoop]:
    loaded = load(write_tiny_llama(tmp_path_factory.mktemp("tiny") / "tiny.gguf"))
    limits = Limits(vocab_size=loaded.spec.vocab_size, context_length=512, num_pages=64)
    decoder = native.Decoder(loaded.model, num_pages=64, num_threads=1)
    loop = StepLoop(decoder, native, limits=limits, end_tokens=frozenset())
    yield loop
    loop.close()


def ask(loop: StepLoop, wanted: Request, project: str) -> Listening:
    """The answer in a namespace of its own, so that only one test's requests share pages."""
    heard = Listening(wanted.num_choices)
    loop.submit(replace(wanted, namespace=replace(NAMESPACE, project=project)), heard)
    return heard.wait()


def test_a_right_and_a_spoilt_prediction_change_nothing(loop: StepLoop) -> None:
    text = ask(loop, request(PROMPT, sampling=LONG), "plain").tokens[0]
    spoilt = [*text]
    spoilt[20] = (spoilt[20] + 1) % 200
    for draft in (text, spoilt):
        heard = ask(loop, request(PROMPT, sampling=LONG, draft=tuple(draft)), f"draft-{draft is text}")
        assert heard.tokens[0] == text
        usage = heard.finished[0].usage
        assert usage.accepted_prediction_tokens == 60 - (draft is spoilt)
        assert usage.rejected_prediction_tokens == (draft is spoilt)


def test_prompt_logprobs_do_not_depend_on_what_is_cached(loop: StepLoop) -> None:
    sampling = replace(GREEDY, max_tokens=1, top_logprobs=2)
    scoring = request(PROMPT, sampling=sampling, prompt_logprobs=True)
    cold = ask(loop, scoring, "scores").finished[0]
    warm = ask(loop, scoring, "scores").finished[0]
    assert cold.prompt_logprobs == warm.prompt_logprobs
    assert cold.prompt_logprobs is not None
    assert len(cold.prompt_logprobs) == 150
    assert cold.prompt_logprobs[0] is None
    assert all(value is not None and value < 0 for value in cold.prompt_logprobs[1:])
    assert warm.usage.cached_tokens == 0
    assert cold.prompt_top == warm.prompt_top
    for token, value, top in zip(PROMPT[1:], cold.prompt_logprobs[1:], cold.prompt_top[1:], strict=True):
        assert value is not None
        assert top[0].logprob >= top[1].logprob
        assert value <= top[0].logprob
        assert all(other.logprob == value for other in top if other.token == token)


def test_a_cached_prompt_and_a_fork_say_what_a_cold_one_says(loop: StepLoop) -> None:
    cold = ask(loop, request(PROMPT, sampling=LONG), "cold")
    cached = ask(loop, request(PROMPT, sampling=LONG), "cold")
    forked = ask(loop, request(PROMPT, sampling=LONG, num_choices=3), "forked")
    assert cached.finished[0].usage.cached_tokens == 149
    assert cached.tokens[0] == cold.tokens[0]
    assert all(forked.tokens[choice] == cold.tokens[0] for choice in range(3))


class OneToken(MaskProvider):
    """A grammar that allows a single token."""

    def __init__(self, token: int) -> None:
        self._token = token

    def mask(self) -> bytes:
        return (1 << self._token).to_bytes(1024, "little")

    def accept(self, token: int) -> None:
        assert token == self._token

    def fork(self) -> OneToken:
        return type(self)(self._token)


def test_a_mask_decides(loop: StepLoop) -> None:
    size = loop._limits.vocab_size

    class Fitting(OneToken):
        def mask(self) -> bytes:
            return super().mask()[: 4 * ((size + 31) // 32)]

    heard = ask(loop, request(PROMPT, mask_provider=Fitting(17)), "masked")
    assert heard.tokens[0] == [17] * 20


def test_a_mask_of_the_wrong_size_fails_its_own_request_only(loop: StepLoop) -> None:
    heard = ask(loop, request(PROMPT, mask_provider=OneToken(17)), "misfit").finished[0]
    assert heard.error is not None
    assert "1024 bytes" in heard.error
    assert len(ask(loop, request(PROMPT), "after").tokens[0]) == 20


PROGRAM = """
import sys
from pennyweight import Engine
engine = Engine.open(sys.argv[1], threads=1)
stream = engine.stream("hello", ignore_eos=True, temperature=0)
print(next(stream))
"""


def test_a_program_may_end_in_the_middle_of_an_answer(tmp_path: Path) -> None:
    path = write_tiny_llama(tmp_path / "slow.gguf", num_layers=24, context_length=8192)
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(path)], capture_output=True, text=True, timeout=60, check=False
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout


def test_processor_time_of_the_native_threads_is_charged(loop: StepLoop) -> None:
    heard = Listening()
    handle = loop.submit(request(PROMPT, sampling=LONG), heard)
    heard.wait()
    assert handle.cpu_s > 0
