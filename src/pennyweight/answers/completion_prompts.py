"""A completion's prompts become token ids before anything is answered: a wrong one is an HTTP status."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pennyweight.answers.conversation import Completion
from pennyweight.errors import ContextLengthError, InvalidRequestError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pennyweight.answers.answer import Answerer
    from pennyweight.answers.completion_schema import AskedPrompt
    from pennyweight.answers.options import Options


@dataclass(frozen=True, slots=True, kw_only=True)
class EncodedPrompt:
    """`text` is the prompt as an echo shows it: what the client wrote, or what its ids stand for."""

    tokens: tuple[int, ...]
    text: str
    shows_control: bool  # ids may hold control tokens, whose texts are part of `text`


async def encode_prompts(
    prompts: Iterable[AskedPrompt], options: Options, answerer: Answerer
) -> tuple[EncodedPrompt, ...]:
    """Raises InvalidRequestError (ContextLengthError) naming the prompt that the model cannot take."""
    return tuple([await _encode(prompt, options, answerer) for prompt in prompts])


async def _encode(prompt: AskedPrompt, options: Options, answerer: Answerer) -> EncodedPrompt:
    content = prompt.content
    if isinstance(content, tuple):
        _check_ids(content, prompt.param, answerer.tokenizer.vocab_size)
    try:
        tokens = await answerer.tokens(Completion(prompt=content), options)
    except InvalidRequestError as error:
        error.param = prompt.param
        raise
    if len(tokens) >= answerer.context:
        raise ContextLengthError(
            f"'{prompt.param}' has {len(tokens)} tokens; the context holds {answerer.context}, one of them "
            f"for the answer. {answerer.context_remedy}",
            param=prompt.param,
        )
    if isinstance(content, str):
        return EncodedPrompt(tokens=tokens, text=content, shows_control=False)
    text = answerer.tokenizer.decode(tokens, skip_special=False)
    return EncodedPrompt(tokens=tokens, text=text, shows_control=True)


def _check_ids(ids: tuple[int, ...], param: str, vocab_size: int) -> None:
    wrong = next((token for token in ids if token >= vocab_size), None)
    if wrong is not None:
        message = f"'{param}' has the id {wrong}; the model's vocabulary has {vocab_size} tokens."
        raise InvalidRequestError(message, param=param)
