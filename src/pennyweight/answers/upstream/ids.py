"""Token ids of a request for a model elsewhere: they go as they are, if they can be that model's at all."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pennyweight.answers.foreign_ids import vocabulary_name
from pennyweight.errors import InvalidRequestError

if TYPE_CHECKING:
    from pennyweight.answers.options import Options


class UpstreamIds:
    """Ids of a name of OpenAI's reach a model of that vocabulary, and no other: nobody here can translate."""

    def __init__(self, model: str) -> None:
        """`model` is what the service calls it."""
        self._model = model

    def options(self, options: Options, *, asked: str, served: str) -> Options:
        """`options` themselves. InvalidRequestError if `asked` has ids that mean something else there."""
        sampling = options.sampling
        name = vocabulary_name(asked)
        if name is None or not (sampling.logit_bias or sampling.stop_token_ids):
            return options
        if name == vocabulary_name(self._model):
            return options
        param = "logit_bias" if sampling.logit_bias else "stop_token_ids"
        message = (
            f"'{param}' of a request for '{asked}' holds ids of the vocabulary {name}; behind it runs "
            f"'{served}', a model elsewhere with its own. Leave it out, or ask by another name."
        )
        raise InvalidRequestError(message, param=param)
