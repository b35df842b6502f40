"""Examples become token sequences: what serving renders for them, and which tokens are learnt.

The prompt of every answer is encoded as serving encodes it, the answer as its continuation, up to and with
the token that ends its turn: the model learns exactly what it will be asked to write. Where the tokens of an
answer are the beginning of a later prompt of the same conversation (most templates), one sequence teaches
both; a template that rewrites earlier turns (dropping their reasoning) makes a sequence for each answer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pennyweight.answers.prompt_messages import prompt_messages
from pennyweight.errors import InvalidRequestError
from pennyweight.text.prompt import PromptPart
from pennyweight.text.template import ChatTemplate, missing_chat_template
from pennyweight.text.tokenizer import Tokenizer
from pennyweight.text.tools.detect import find_dialect

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pennyweight.answers.conversation import Conversation, Message
    from pennyweight.text.tokenizer import Before
    from pennyweight.text.tools.dialect import Dialect
    from pennyweight.tune.example import Example, Preference


@dataclass(frozen=True, slots=True)
class TokenSequence:
    """Tokens, and the runs of positions `[start, end)` whose tokens are learnt (never the first)."""

    tokens: tuple[int, ...]
    learnt: tuple[tuple[int, int], ...]

    @property
    def num_learnt(self) -> int:
        return sum(end - start for start, end in self.learnt)


class Renderer:
    """Immutable; made of a model's metadata, as serving makes its own."""

    def __init__(self, *, tokenizer: Tokenizer, template: ChatTemplate, dialect: Dialect) -> None:
        self.tokenizer = tokenizer
        self._template = template
        self._dialect = dialect

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, Any], *, model_name: str) -> Renderer:
        """Raises InvalidRequestError for a model without a chat template."""
        template = ChatTemplate.from_metadata(metadata)
        if template is None:
            raise missing_chat_template(model_name)
        tokenizer = Tokenizer.from_metadata(metadata)
        return cls(tokenizer=tokenizer, template=template, dialect=find_dialect(metadata))

    def supervised(self, example: Example) -> list[TokenSequence]:
        """The sequences that teach the learnt answers of `example`. Raises InvalidRequestError."""
        conversation = example.conversation
        sequences: list[TokenSequence] = []
        for index in example.trained:
            before, answer = conversation.messages[:index], conversation.messages[index]
            sequence = self._answered(conversation, before, answer)
            last = sequences[-1] if sequences else None
            if last is not None and sequence.tokens[: len(last.tokens)] == last.tokens:
                sequences[-1] = TokenSequence(sequence.tokens, (*last.learnt, *sequence.learnt))
            else:
                sequences.append(sequence)
        return sequences

    def preference(self, pair: Preference) -> tuple[TokenSequence, TokenSequence]:
        """The preferred answer and the rejected one, each behind the prompt. Raises InvalidRequestError."""
        conversation = pair.conversation
        before = conversation.messages
        return (
            self._answered(conversation, before, pair.preferred),
            self._answered(conversation, before, pair.rejected),
        )

    def prompt(self, conversation: Conversation, messages: Sequence[Message]) -> tuple[int, ...]:
        """The tokens that serving answers after `messages`."""
        parts = self._rendered(conversation, messages, ask=True)
        return tuple(self.tokenizer.encode_parts(parts, add_bos=self.tokenizer.add_bos))

    def _answered(
        self, conversation: Conversation, before: Sequence[Message], answer: Message
    ) -> TokenSequence:
        prompt = self._rendered(conversation, before, ask=True)
        whole = self._rendered(conversation, (*before, answer), ask=False)
        tokens = self.tokenizer.encode_parts(prompt, add_bos=self.tokenizer.add_bos)
        before_answer: Before = "special" if self.tokenizer.is_control(tokens[-1]) else "text"
        ids = self._ended(
            self.tokenizer.encode_parts(_rest(whole, prompt), add_bos=False, before=before_answer)
        )
        return TokenSequence((*tokens, *ids), ((len(tokens), len(tokens) + len(ids)),))

    def _ended(self, ids: list[int]) -> list[int]:
        """An answer's tokens up to the one that ends it."""
        ends = self.tokenizer.end_token_ids
        for index, token in enumerate(ids):
            if token in ends:
                return ids[: index + 1]
        if self.tokenizer.eos_token_id is None:
            raise InvalidRequestError(
                "the model's template ends no turn and its vocabulary has no end token: it could not learn "
                "to stop. Choose a model made for chat."
            )
        return [*ids, self.tokenizer.eos_token_id]

    def _rendered(
        self, conversation: Conversation, messages: Sequence[Message], *, ask: bool
    ) -> list[PromptPart]:
        prompt = self._dialect.prompt(prompt_messages(messages), conversation.callable_tools)
        return self._template.render(prompt.messages, tools=prompt.tools, add_generation_prompt=ask)


def _rest(whole: Sequence[PromptPart], prompt: Sequence[PromptPart]) -> list[PromptPart]:
    """The parts of `whole` behind the prompt it begins with."""
    asked = "".join(part.text for part in prompt)
    if not "".join(part.text for part in whole).startswith(asked):
        raise InvalidRequestError(
            "the model's chat template writes an answered conversation differently from the prompt it asks "
            "with, so that what it would learn is not what it will be asked. Choose another model."
        )
    rest, num_chars = [], len(asked)
    for part in whole:
        skipped = min(num_chars, len(part.text))
        num_chars -= skipped
        if skipped < len(part.text):
            rest.append(PromptPart(part.text[skipped:], part.trusted))
    return rest
