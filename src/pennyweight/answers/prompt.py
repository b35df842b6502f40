"""A source becomes prompt tokens: through the chat template, or as it stands."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pennyweight.answers.conversation import Completion, Conversation
from pennyweight.answers.prompt_messages import prompt_messages
from pennyweight.answers.truncation import fitted
from pennyweight.errors import ContextLengthError, InvalidRequestError
from pennyweight.text.piece_memory import PieceMemory
from pennyweight.text.prompt import PromptPart
from pennyweight.text.template import missing_chat_template

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pennyweight.answers.conversation import Source
    from pennyweight.text.template import ChatTemplate
    from pennyweight.text.tokenizer import Tokenizer
    from pennyweight.text.tools.dialect import Dialect


class PromptBuilder:
    """Content never becomes a control token: the template marks what is trusted, the tokenizer obeys."""

    def __init__(
        self,
        *,
        model_name: str,
        tokenizer: Tokenizer,
        template: ChatTemplate | None,
        dialect: Dialect,
        context: int,
        remedy: str = "Shorten the prompt.",
    ) -> None:
        """`remedy` is for prompts longer than `context`."""
        self._model_name = model_name
        self._dialect = dialect
        self.context = context
        self.remedy = remedy
        self._tokenizer = tokenizer
        self._template = template
        self._pieces = PieceMemory()

    @property
    def has_template(self) -> bool:
        """False for a base model: it continues text and cannot hold a conversation."""
        return self._template is not None

    def build(
        self, source: Source, template_kwargs: Mapping[str, Any], *, project: str | None = None
    ) -> tuple[int, ...]:
        """The tokens; long texts are remembered for `project`, where one is given.

        Raises InvalidRequestError if the model cannot take this source.
        """
        self._refuse_what_cannot_fit(source)
        tokens = self._tokens(source, template_kwargs, project)
        if not tokens:
            raise InvalidRequestError("the prompt is empty; write something to answer", param="messages")
        return tokens

    def fitted(
        self,
        conversation: Conversation,
        template_kwargs: Mapping[str, Any],
        *,
        project: str | None,
        room: int,
    ) -> Conversation:
        """`conversation` with as many of its newest turns as `room` tokens hold, at least the last."""

        def fits(shorter: Conversation) -> bool:
            try:
                return len(self.build(shorter, template_kwargs, project=project)) <= room
            except ContextLengthError:
                return False

        return fitted(conversation, fits, step_bytes=max(room // 2, 1))

    def _tokens(
        self, source: Source, template_kwargs: Mapping[str, Any], project: str | None
    ) -> tuple[int, ...]:
        if isinstance(source, Conversation):
            parts = self._chat(source, template_kwargs)
        elif isinstance(source.prompt, tuple):
            return source.prompt  # the caller's own ids: a BOS is theirs to give
        else:
            parts = [PromptPart(source.prompt, trusted=False)]
        known = None if project is None else self._pieces.of(project)
        return tuple(self._tokenizer.encode_parts(parts, add_bos=self._tokenizer.add_bos, known=known))

    def _refuse_what_cannot_fit(self, source: Source) -> None:
        """Megabytes are not rendered and encoded only to learn that they are too many."""
        if isinstance(source, Completion):
            num = len(source.prompt)
            fewest = num if isinstance(source.prompt, tuple) else self._tokenizer.fewest_tokens(num)
        else:
            chars = sum(len(message.text) for message in source.messages)
            fewest = max(len(source.messages), self._tokenizer.fewest_tokens(chars))
        if fewest > self.context:
            raise ContextLengthError(
                f"The prompt has at least {fewest} tokens; the context holds {self.context}. {self.remedy}",
                param="messages",
            )

    def _chat(self, conversation: Conversation, template_kwargs: Mapping[str, Any]) -> list[PromptPart]:
        if self._template is None:
            raise missing_chat_template(self._model_name)
        unread = sorted(set(template_kwargs) - self._template.variables)
        if unread:
            read = ", ".join(sorted(self._template.variables)) or "none"
            raise InvalidRequestError(
                f"the chat template of {self._model_name} does not read {', '.join(unread)}; it reads {read}",
                param="chat_template_kwargs",
            )
        messages = prompt_messages(conversation.messages)
        prompt = self._dialect.prompt(messages, conversation.callable_tools)
        return self._template.render(prompt.messages, tools=prompt.tools, **template_kwargs)
