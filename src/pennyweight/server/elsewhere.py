"""Models elsewhere as this server serves them: under their names, by way of their services."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from pennyweight.answers.served import AnsweringModel, OpenModel
from pennyweight.server.metrics import MeteredAnswers

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pennyweight.server.metrics import Metrics
    from pennyweight.upstreams import Upstream


def models_elsewhere(
    upstreams: Iterable[Upstream], metrics: Metrics, *, environ: Mapping[str, str]
) -> list[AnsweringModel]:
    """One model for each. ConfigError for a key that `environ` should hold and does not."""
    return [_model(upstream, metrics, upstream.key(environ)) for upstream in upstreams]


def _model(upstream: Upstream, metrics: Metrics, key: str | None) -> AnsweringModel:
    # Only now: a server that serves nobody else's models never loads an HTTP client.
    from pennyweight.answers.upstream.answers import UpstreamAnswers
    from pennyweight.answers.upstream.ids import UpstreamIds

    model = OpenModel(
        name=upstream.name,
        answers=MeteredAnswers(UpstreamAnswers(upstream, key=key), metrics, model=upstream.name),
        ids=UpstreamIds(upstream.model),
    )
    return AnsweringModel.always_open(model, created=int(time.time()), owner="upstream")
