"""Which grammar an answer must follow: of a response format, of calls of tools, or of either."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from pennyweight.answers.conversation import Conversation
from pennyweight.answers.response_format import JsonObject, JsonSchema
from pennyweight.core import MaskProvider
from pennyweight.text.tools.generic import GENERIC
from pennyweight.text.tools.tool import Concessions

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pennyweight.answers.conversation import Source
    from pennyweight.answers.options import ResponseFormat
    from pennyweight.text.grammar.compiler import GrammarCompiler
    from pennyweight.text.tokenizer import Tokenizer
    from pennyweight.text.tools.dialect import Dialect


class Grammars:
    """The grammars of one model. Everything here takes milliseconds or more: not for the event loop."""

    def __init__(self, *, tokenizer: Tokenizer, vocab_size: int, dialect: Dialect) -> None:
        """`vocab_size` is the model's number of logits."""
        self._tokenizer = tokenizer
        self._vocab_size = vocab_size
        self._dialect = dialect
        self._lock = threading.Lock()
        self._made: GrammarCompiler | None = None

    def warm_up(self) -> None:
        """Read the vocabulary now (up to a second), so that no request waits for it."""
        self._compiler()

    @property
    def is_warm(self) -> bool:
        """Whether the vocabulary has been read."""
        return self._made is not None

    def mask(
        self,
        source: Source,
        response_format: ResponseFormat,
        *,
        project: str,
        concessions: Concessions | None = None,
    ) -> MaskProvider | None:
        """None if any text will do. InvalidRequestError names what must be enforced and cannot be.

        What need not be and is not is added to `concessions`.
        Compiled grammars are kept by `project`: how long one takes tells nothing of another's schemas.
        """
        concessions = Concessions() if concessions is None else concessions
        text = self._of_format(response_format, project, concessions.fields)
        tools = source.callable_tools if isinstance(source, Conversation) else ()
        if not isinstance(source, Conversation) or not tools:
            return text
        required = source.tool_choice.mode == "required"
        calls = self._dialect.mask(
            self._compiler().of(project),
            tools,
            required=required or text is not None,
            parallel=self._may_repeat(source),
            control=self._tokenizer.special_tokens,
            concessions=concessions,
        )
        return calls if required or text is None else EitherMask((text, calls))

    def _may_repeat(self, source: Conversation) -> bool:
        """Whether an answer may have several calls.

        A model that was never taught tools makes the same call again and again: it does so only if asked to.
        """
        if source.tool_choice.once:
            return False
        wanted = source.parallel_tool_calls
        return self._dialect is not GENERIC if wanted is None else wanted

    def _of_format(
        self, response_format: ResponseFormat, project: str, dropped: set[str]
    ) -> MaskProvider | None:
        from pennyweight.text.grammar.source import json_object

        if isinstance(response_format, JsonSchema):
            mask, left_out = (
                self._compiler()
                .of(project)
                .compile_schema(
                    response_format.schema, strict=response_format.strict, param=response_format.param
                )
            )
            dropped.update(left_out)
            return mask
        if isinstance(response_format, JsonObject):
            return self._compiler().of(project).compile(json_object())
        return None

    def _compiler(self) -> GrammarCompiler:
        from pennyweight.text.grammar.compiler import GrammarCompiler

        with self._lock:
            if self._made is None:
                self._made = GrammarCompiler(self._tokenizer, vocab_size=self._vocab_size)
            return self._made


class EitherMask(MaskProvider):
    """Text of one of several grammars: those that cannot go on with what was written drop out."""

    def __init__(self, grammars: Sequence[MaskProvider]) -> None:
        self._grammars = list(grammars)
        self._masks: list[bytes] | None = None  # of the present state

    def mask(self) -> bytes:
        masks = self._present_masks()
        joined = 0
        for mask in masks:
            joined |= int.from_bytes(mask, "little")
        return joined.to_bytes(len(masks[0]), "little")

    def accept(self, token: int) -> None:
        masks = self._present_masks()
        allowing = [
            grammar
            for grammar, mask in zip(self._grammars, masks, strict=True)
            if mask[token // 8] >> token % 8 & 1
        ]
        self._grammars, self._masks = allowing or self._grammars, None
        for grammar in self._grammars:
            grammar.accept(token)

    def fork(self) -> EitherMask:
        return EitherMask([grammar.fork() for grammar in self._grammars])

    def forced(self) -> Sequence[int]:
        """Only one grammar forces anything: several differ in what comes next."""
        return self._grammars[0].forced() if len(self._grammars) == 1 else ()

    def _present_masks(self) -> list[bytes]:
        if self._masks is None:
            self._masks = [grammar.mask() for grammar in self._grammars]
        return self._masks
