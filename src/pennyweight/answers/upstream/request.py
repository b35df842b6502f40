"""A conversation and options become the body of a chat completion, as one kind of service takes it.

A field the service cannot honour is refused by name before anything is sent. What cannot change the answer
(a prediction, reasoning of earlier turns) is left out and named.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pennyweight.answers.fields import ParameterError
from pennyweight.answers.options import JsonObject, JsonSchema
from pennyweight.answers.upstream.abilities import ABILITIES
from pennyweight.answers.upstream.messages import chat_messages, chat_tools
from pennyweight.core import SamplingParams

if TYPE_CHECKING:
    from pennyweight.answers.conversation import Conversation
    from pennyweight.answers.options import Options, ResponseFormat
    from pennyweight.upstreams import Upstream

_SAME_NAME = (
    "temperature",
    "top_p",
    "presence_penalty",
    "frequency_penalty",
    "top_k",
    "min_p",
    "repetition_penalty",
    "min_tokens",
    "ignore_eos",
)
_EXTRA = ("top_k", "min_p", "repetition_penalty", "min_tokens", "ignore_eos", "stop_token_ids")


def chat_body(
    conversation: Conversation, options: Options, upstream: Upstream, ignored: set[str]
) -> dict[str, Any]:
    """Always streamed, with usage. ParameterError names what the service cannot honour."""
    abilities = ABILITIES[upstream.kind]
    settings = {**_sampling(options.sampling), **_asked(options)}
    for name in (*_EXTRA, "chat_template_kwargs"):
        if name in settings and name not in abilities.fields:
            raise _refused(name, f"'{name}'", upstream)
    if options.truncation == "auto":  # nobody here knows how long its context is
        raise _refused("truncation", "'truncation' other than 'disabled'", upstream)
    if abilities.max_stop is not None and len(options.stop) > abilities.max_stop:
        raise _refused("stop", f"'stop' with more than {abilities.max_stop} strings", upstream)
    custom = next((tool for tool in conversation.tools if tool.kind == "custom"), None)
    if custom is not None and "custom tools" not in abilities.fields:
        raise _refused("tools", f"the custom tool '{custom.name}'", upstream)
    if "prediction" in settings and "prediction" not in abilities.fields:
        del settings["prediction"]
        ignored.add("prediction")
    return {
        "model": upstream.model,
        "messages": chat_messages(conversation.messages, abilities, ignored),
        "stream": True,
        "stream_options": {"include_usage": True},
        **abilities.neutral,
        **settings,
        **chat_tools(conversation),
    }


def _sampling(sampling: SamplingParams) -> dict[str, Any]:
    """The fields that ask for something."""
    plain = SamplingParams()
    fields = {
        name: getattr(sampling, name)
        for name in _SAME_NAME
        if getattr(sampling, name) != getattr(plain, name)
    }
    if sampling.logit_bias:
        fields["logit_bias"] = {str(token): bias for token, bias in sampling.logit_bias.items()}
    if sampling.seed is not None:
        # OpenAI's seeds have a sign; the engine's are the same 64 bits without one.
        fields["seed"] = sampling.seed - 2**64 if sampling.seed >= 2**63 else sampling.seed
    if sampling.max_tokens is not None:
        fields["max_completion_tokens"] = sampling.max_tokens
    if sampling.stop_token_ids:
        fields["stop_token_ids"] = sorted(sampling.stop_token_ids)
    if sampling.top_logprobs is not None:
        fields |= {"logprobs": True, "top_logprobs": sampling.top_logprobs}
    return fields


def _asked(options: Options) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    if options.stop:
        fields["stop"] = list(options.stop)
    if options.num_choices > 1:
        fields["n"] = options.num_choices
    if form := _response_format(options.response_format):
        fields["response_format"] = form
    if options.prediction:
        fields["prediction"] = {"type": "content", "content": options.prediction}
    if options.chat_template_kwargs:
        fields["chat_template_kwargs"] = dict(options.chat_template_kwargs)
    return fields


def _response_format(form: ResponseFormat) -> dict[str, Any] | None:
    if isinstance(form, JsonObject):
        return {"type": "json_object"}
    if not isinstance(form, JsonSchema):
        return None
    schema: dict[str, Any] = {"name": form.name, "schema": form.schema, "strict": form.strict}
    if form.description is not None:
        schema["description"] = form.description
    return {"type": "json_schema", "json_schema": schema}


def _refused(param: str, what: str, upstream: Upstream) -> ParameterError:
    message = (
        f"{what} is not supported by the service behind '{upstream.name}' (kind {upstream.kind}); "
        "leave it out or ask for another model."
    )
    return ParameterError(message, param=param, code="unsupported_parameter")
