"""The body of `POST /v1/completions` becomes a `CompletionRequest`; `completion_fields` lists its fields."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from pennyweight.answers.completion_fields import COMPLETION_FIELDS, DEFAULT_MAX_TOKENS, MAX_PROMPTS
from pennyweight.answers.field_tables import read_include_usage
from pennyweight.answers.fields import Integer, ParameterError, Text, wrong_type
from pennyweight.answers.sampling_fields import options_from_values

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pennyweight.answers.options import Options


@dataclass(frozen=True, slots=True, kw_only=True)
class AskedPrompt:
    """One prompt as the client gave it: text or token ids. `param` is its place in the body."""

    content: str | tuple[int, ...]
    param: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CompletionRequest:
    """A completion's body understood."""

    model: str
    prompts: tuple[AskedPrompt, ...]
    options: Options
    echo: bool
    stream: bool
    include_usage: bool
    include_cost: bool = False

    @property
    def logprobs(self) -> bool:
        return self.options.sampling.top_logprobs is not None


def parse_completion(body: Mapping[str, object]) -> CompletionRequest:
    """Raises ParameterError naming the field that is missing, unknown, malformed or not supported."""
    values = COMPLETION_FIELDS.read(body)
    stream = values.get("stream", False)
    echo, include_cost = values.get("echo", False), values.get("usage", False)
    asked_usage = read_include_usage(values.get("stream_options"), stream=stream)
    return CompletionRequest(
        model=values["model"],
        prompts=read_prompts(values["prompt"]),
        options=_options(values, echo=echo),
        echo=echo,
        stream=stream,
        include_usage=asked_usage or (stream and include_cost),
        include_cost=include_cost,
    )


def read_prompts(value: object) -> tuple[AskedPrompt, ...]:
    """A text, ids, or a list of either. The first element of a list says which."""
    if isinstance(value, str):
        return (AskedPrompt(content=Text().read(value, "prompt"), param="prompt"),)
    if not isinstance(value, list | tuple):
        raise wrong_type("prompt", "a string or an array", value)
    if not value:
        raise ParameterError("'prompt' is an empty array.", param="prompt", code="empty_array")
    if isinstance(value[0], int):
        return (AskedPrompt(content=_ids(value, "prompt"), param="prompt"),)
    if len(value) > MAX_PROMPTS:
        message = f"'prompt' has {len(value)} prompts; it may have {MAX_PROMPTS}."
        raise ParameterError(message, param="prompt", code="array_above_max_length")
    return tuple(_prompt(item, f"prompt[{index}]", value[0]) for index, item in enumerate(value))


def _prompt(value: object, param: str, first: object) -> AskedPrompt:
    if isinstance(first, str):
        return AskedPrompt(content=Text().read(value, param), param=param)
    if not isinstance(value, list | tuple):
        raise wrong_type(param, "an array of token ids" if param != "prompt[0]" else "a string", value)
    return AskedPrompt(content=_ids(value, param), param=param)


def _ids(value: list[object] | tuple[object, ...], param: str) -> tuple[int, ...]:
    if not value:
        raise ParameterError(f"'{param}' is an empty array.", param=param, code="empty_array")
    kind = Integer(low=0)
    return tuple(kind.read(item, f"{param}[{index}]") for index, item in enumerate(value))


def _options(values: Mapping[str, Any], *, echo: bool) -> Options:
    num_choices = values.get("n", 1)
    if values.get("best_of", num_choices) != num_choices:
        message = (
            f"'best_of' is {values['best_of']} and 'n' is {num_choices}: generating more choices than are "
            "returned is not supported; leave 'best_of' out."
        )
        raise ParameterError(message, param="best_of", code="unsupported_value")
    max_tokens = values.get("max_tokens", DEFAULT_MAX_TOKENS)
    if max_tokens == 0 and not echo:
        message = "'max_tokens' is 0, which leaves nothing to return; set 'echo' to score the prompt."
        raise ParameterError(message, param="max_tokens", code="integer_below_min_value")
    top = values.get("logprobs")
    scores = {} if top is None else {"logprobs": True, "top_logprobs": top}
    plain = {name: value for name, value in values.items() if name != "logprobs"}
    options = options_from_values({**plain, "max_tokens": max_tokens, **scores})
    return replace(options, prompt_logprobs=echo and top is not None)
