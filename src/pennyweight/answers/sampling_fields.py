"""The sampling fields every interface shares, and how they become `Options`.

OpenAI's names first (https://platform.openai.com/docs/api-reference/chat/create), then the dialect of open
engines (`top_k`, `min_p`, `repetition_penalty`, `stop_token_ids`, `min_tokens`, `ignore_eos`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pennyweight.answers.fields import (
    Field,
    Flag,
    Integer,
    ListOf,
    Number,
    ParameterError,
    Text,
    TokenBias,
    unknown,
)
from pennyweight.answers.options import Options
from pennyweight.core import SamplingParams

if TYPE_CHECKING:
    from collections.abc import Mapping

SAMPLING_FIELDS: tuple[Field, ...] = (
    Field(
        name="max_completion_tokens",
        kind=Integer(low=1),
        doc="Most tokens to generate; an answer that fills the context ends too, as `length`.",
    ),
    Field(name="max_tokens", kind=Integer(low=1), doc="The older name of `max_completion_tokens`."),
    Field(
        name="temperature", kind=Number(low=0, high=2), doc="Default 1; 0 always takes the likeliest token."
    ),
    Field(name="top_p", kind=Number(low=0, high=1), doc="Sample from the likeliest tokens that sum to this."),
    Field(name="n", kind=Integer(low=1, high=128), doc="Independent answers to the same messages."),
    Field(
        name="stop",
        kind=ListOf(item=Text(empty=False), high=16, single=True),
        doc="Up to 16 strings; the answer ends before the first that would appear.",
    ),
    Field(
        name="seed",
        kind=Integer(low=-(2**63), high=2**63 - 1),
        doc="The same seed gives the same text, whatever else the server does.",
    ),
    Field(
        name="presence_penalty",
        kind=Number(low=-2, high=2),
        doc="Subtracted once from tokens already in the answer.",
    ),
    Field(
        name="frequency_penalty",
        kind=Number(low=-2, high=2),
        doc="Subtracted from a token for every time it is already in the answer.",
    ),
    Field(name="logit_bias", kind=TokenBias(), doc="Added to the logits of token ids of this model."),
    Field(name="logprobs", kind=Flag(), doc="Return the log-probability of every token of the answer."),
    Field(
        name="top_logprobs",
        kind=Integer(low=0, high=20),
        doc="Also return this many of the likeliest tokens at each place; needs `logprobs`.",
    ),
    Field(name="top_k", kind=Integer(low=0), doc="Sample from this many likeliest tokens; 0: all."),
    Field(
        name="min_p",
        kind=Number(low=0, high=1),
        doc="Leave out tokens less likely than this share of the likeliest.",
    ),
    Field(
        name="repetition_penalty",
        kind=Number(low=0.01, high=10),
        doc="Divides the logits of tokens of prompt and answer; 1: off.",
    ),
    Field(
        name="stop_token_ids",
        kind=ListOf(item=Integer(low=0), high=128),
        doc="Token ids that end the answer, beside the model's own.",
    ),
    Field(name="min_tokens", kind=Integer(low=0), doc="End and stop tokens are impossible before this many."),
    Field(name="ignore_eos", kind=Flag(), doc="Do not stop at the model's end token."),
)


def options_from_keywords(
    keywords: Mapping[str, object], *, without: frozenset[str] = frozenset()
) -> Options:
    """Options from Python keyword arguments; an unknown one raises. None means not given."""
    known = {field.name: field for field in SAMPLING_FIELDS if field.name not in without}
    values = {}
    for name, value in keywords.items():
        if name not in known:
            raise unknown(name, known)
        if value is not None:
            values[name] = known[name].kind.read(value, name)
    return options_from_values(values)


def options_from_values(values: Mapping[str, Any]) -> Options:
    """Options from fields already checked one by one; checks what two fields say together."""
    limits = [name for name in ("max_completion_tokens", "max_tokens") if name in values]
    if len(limits) == 2:
        message = "'max_tokens' and 'max_completion_tokens' are two names of one limit; send one of them."
        raise ParameterError(message, param="max_tokens", code="invalid_parameter_combination")
    sampling = SamplingParams(
        # OpenAI allows 0, which leaves the likeliest token alone; so does the least number above it.
        top_p=max(values.get("top_p", 1.0), 1e-6),
        max_tokens=values[limits[0]] if limits else None,
        top_logprobs=_top_logprobs(values),
        stop_token_ids=frozenset(values.get("stop_token_ids", ())),
        # The sampler's key is 64 bits without a sign; a negative seed is the same bits.
        seed=values["seed"] % 2**64 if "seed" in values else None,
        **{name: values[name] for name in _SAME_NAME if name in values},
    )
    _check_min_tokens(sampling)
    return Options(sampling=sampling, stop=values.get("stop", ()), num_choices=values.get("n", 1))


_SAME_NAME = (
    "temperature",
    "top_k",
    "min_p",
    "repetition_penalty",
    "presence_penalty",
    "frequency_penalty",
    "logit_bias",
    "min_tokens",
    "ignore_eos",
)


def _top_logprobs(values: Mapping[str, Any]) -> int | None:
    if values.get("logprobs", False):
        top: int = values.get("top_logprobs", 0)
        return top
    if values.get("top_logprobs", 0):
        message = "'top_logprobs' needs 'logprobs' to be true."
        raise ParameterError(message, param="top_logprobs", code="invalid_parameter_combination")
    return None


def _check_min_tokens(sampling: SamplingParams) -> None:
    if sampling.max_tokens is not None and sampling.min_tokens > sampling.max_tokens:
        message = f"'min_tokens' is {sampling.min_tokens}, above 'max_tokens', {sampling.max_tokens}."
        raise ParameterError(message, param="min_tokens", code="invalid_parameter_combination")
