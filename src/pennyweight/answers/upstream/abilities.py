"""What services of each kind take beyond OpenAI's chat completions, and what they lack.

Data only: `openai` is what OpenAI documents
(https://platform.openai.com/docs/api-reference/chat/create), `vllm` what vLLM adds and leaves out
(https://docs.vllm.ai/en/latest/serving/openai_compatible_server.html).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pennyweight.upstreams import UpstreamKind

_DIALECT = frozenset(
    {
        "chat_template_kwargs",
        "ignore_eos",
        "min_p",
        "min_tokens",
        "repetition_penalty",
        "stop_token_ids",
        "top_k",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Abilities:
    """`fields` are names of request fields; `custom tools`, `developer` and `reasoning_content` of forms.

    `neutral` are fields to send even where they were not asked for: a service's own defaults would replace
    OpenAI's, which our documents promise.
    """

    fields: frozenset[str]
    max_stop: int | None = None
    neutral: Mapping[str, object]


ABILITIES: Mapping[UpstreamKind, Abilities] = {
    "openai": Abilities(
        fields=frozenset({"custom tools", "developer", "prediction"}),
        max_stop=4,
        neutral={"temperature": 1.0},
    ),
    # vLLM takes its defaults from the model's generation_config.json.
    "vllm": Abilities(
        fields=_DIALECT | {"reasoning_content"},
        neutral={"temperature": 1.0, "top_p": 1.0, "top_k": -1, "min_p": 0.0, "repetition_penalty": 1.0},
    ),
    "pennyweight": Abilities(
        fields=_DIALECT | {"custom tools", "developer", "prediction", "reasoning_content"},
        neutral={"temperature": 1.0},
    ),
}
