"""What Prometheus reads: the engine's counts as they are when asked, and what clients felt, in histograms.

One registry per application, so that two in one process do not add up. No label holds anything of a request.
"""

from __future__ import annotations

import time
from contextlib import aclosing
from typing import TYPE_CHECKING, Protocol

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily
from prometheus_client.registry import Collector

from pennyweight.answers.account import FREE
from pennyweight.answers.events import RefusalDelta, TextDelta, ToolCallDelta
from pennyweight.errors import EngineError, UpstreamError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterator, Mapping

    from prometheus_client.core import Metric
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from pennyweight.answers.account import Account
    from pennyweight.answers.answer import AnswerSource
    from pennyweight.answers.conversation import Source
    from pennyweight.answers.embedding_queue import EmbeddingStats
    from pennyweight.answers.events import AnswerEvent
    from pennyweight.answers.options import Options
    from pennyweight.answers.principal import Principal
    from pennyweight.engine.stats import EngineStats

_GAUGES = {
    "running": ("answers_running", "Answers being computed."),
    "waiting": ("answers_waiting", "Answers queued."),
    "pages_total": ("kv_pages", "Pages for keys and values."),
    "pages_used": ("kv_pages_used", "Pages held by running answers."),
    "pages_cached": ("kv_pages_cached", "Pages kept for reuse."),
    "adapters": ("adapters", "Adapters in memory."),
    "adapter_bytes": ("adapter_bytes", "Bytes of the adapters in memory."),
}
_COUNTERS = {
    "steps": ("engine_steps", "Steps of the decoder."),
    "prompt_tokens": ("prompt_tokens_computed", "Prompt tokens computed."),
    "cached_tokens": ("prompt_tokens_cached", "Prompt tokens found in the cache."),
    "generated_tokens": ("tokens_generated", "Tokens generated."),
    "accepted_drafts": ("draft_tokens_accepted", "Predicted tokens that were right."),
    "rejected_drafts": ("draft_tokens_rejected", "Predicted tokens that were wrong."),
    "preemptions": ("preemptions", "Answers that gave their pages up for a while."),
    "prefill_s": ("prefill_seconds", "Seconds of steps with prompt tokens in them."),
    "decode_s": ("decode_seconds", "Seconds of all other steps."),
    "adapter_loads": ("adapter_loads", "Adapters brought into memory."),
    "adapter_evictions": ("adapter_evictions", "Adapters put out for others."),
}
_EMBEDDING_COUNTERS = {
    "requests": ("embedding_requests", "Requests for embeddings that were answered."),
    "tokens": ("embedding_tokens", "Tokens embedded."),
    "seconds": ("embedding_seconds", "Seconds of the encoder's batches."),
}
_TTFT_S = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)
_GAP_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)


class Metrics:
    """The metrics of one application. Updated on the event loop only."""

    def __init__(
        self,
        here: CountedModels | None,
        embeddings: Callable[[], EmbeddingStats],
        *,
        info: Mapping[str, str],
    ) -> None:
        """`here` and `embeddings` give the counts of now (None: no model runs here); `info`: what runs."""
        self.registry = CollectorRegistry()
        self.registry.register(EngineCollector(here, embeddings, info))
        ProcessCollector(registry=self.registry)
        self.ttft_s = Histogram(
            "pennyweight_time_to_first_token_seconds",
            "From a request understood to the first piece of its answer.",
            ("model",),
            buckets=_TTFT_S,
            registry=self.registry,
        )
        self.gap_s = Histogram(
            "pennyweight_token_gap_seconds",
            "Between two pieces of one answer.",
            ("model",),
            buckets=_GAP_S,
            registry=self.registry,
        )
        self._responses = Counter(
            "pennyweight_http_responses",
            "Responses begun, by path of the interface and status.",
            ("path", "status"),
            registry=self.registry,
        )
        self._broken = Counter(
            "pennyweight_answers_broken", "Answers that failed in the middle.", registry=self.registry
        )

    def watch_usage(self, num_waiting: Callable[[], int]) -> None:
        """`num_waiting`: usage rows that are not durable yet."""
        text = "Usage rows not written yet; some for a moment, many while the disk is full."
        waiting = Gauge("pennyweight_usage_rows_waiting", text, registry=self.registry)
        waiting.set_function(num_waiting)

    def count_response(self, path: str, status: int) -> None:
        """`path` is a route's pattern: what clients make up has no place in a label."""
        self._responses.labels(path, str(status)).inc()

    def count_broken(self) -> None:
        """An answer failed after it had begun."""
        self._broken.inc()

    def exposition(self) -> bytes:
        """Prometheus' text format."""
        return generate_latest(self.registry)


class CountedModels(Protocol):
    """The models that run here, by name; `serving.ModelsHere` is it."""

    def stats(self) -> Mapping[str, EngineStats]: ...

    def num_loads(self) -> Mapping[str, int]: ...


class EngineCollector(Collector):
    """The engines' own counts and the encoder's, read when Prometheus asks."""

    def __init__(
        self,
        here: CountedModels | None,
        embeddings: Callable[[], EmbeddingStats],
        info: Mapping[str, str],
    ) -> None:
        self._here = here
        self._embeddings = embeddings
        self._info = dict(info)

    def collect(self) -> Iterator[Metric]:
        yield InfoMetricFamily("pennyweight", "What runs.", value=self._info)
        embeddings = self._embeddings()
        for field, (name, text) in _EMBEDDING_COUNTERS.items():
            yield CounterMetricFamily(f"pennyweight_{name}", text, value=getattr(embeddings, field))
        if self._here is None:
            return
        models = self._here.stats()
        families: list[tuple[str, GaugeMetricFamily | CounterMetricFamily]] = []
        for field, (name, text) in _GAUGES.items():
            families.append((field, GaugeMetricFamily(f"pennyweight_{name}", text, labels=("model",))))
        for field, (name, text) in _COUNTERS.items():
            families.append((field, CounterMetricFamily(f"pennyweight_{name}", text, labels=("model",))))
        for field, family in families:
            for model, stats in models.items():
                family.add_metric((model,), getattr(stats, field))
            yield family
        loads = CounterMetricFamily("pennyweight_model_loads", "Times a model was loaded.", labels=("model",))
        for model, number in self._here.num_loads().items():
            loads.add_metric((model,), number)
        yield loads


class MeteredAnswers:
    """Answers of `source`, with what their readers felt written down."""

    def __init__(self, source: AnswerSource, metrics: Metrics, *, model: str) -> None:
        self._source = source
        self._metrics = metrics
        self._ttft_s = metrics.ttft_s.labels(model)
        self._gap_s = metrics.gap_s.labels(model)

    async def answer(
        self, source: Source, options: Options, principal: Principal, account: Account = FREE
    ) -> AsyncGenerator[AnswerEvent]:
        """As `Answerer.answer`."""
        followed = options.priority != "batch"  # a line is read whole: nobody feels its pace
        last_s = dict.fromkeys(range(options.num_choices), time.monotonic())
        begun: set[int] = set()
        accepted = False
        async with aclosing(self._source.answer(source, options, principal, account)) as events:
            try:
                async for event in events:
                    accepted = True
                    if followed and isinstance(event, TextDelta | RefusalDelta | ToolCallDelta):
                        now_s = time.monotonic()
                        felt = self._gap_s if event.choice in begun else self._ttft_s
                        felt.observe(now_s - last_s[event.choice])
                        last_s[event.choice] = now_s
                        begun.add(event.choice)
                    yield event
            except (EngineError, UpstreamError):
                if accepted:
                    self._metrics.count_broken()
                raise


class CountResponses:
    """ASGI middleware: counts every response by its route and status."""

    def __init__(self, app: ASGIApp, *, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                path = getattr(scope.get("route"), "path", "other")
                self._metrics.count_response(path, message["status"])
            await send(message)

        await self._app(scope, receive, counted)
