"""A dialect: how one family of models is told of tools and calls them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from pennyweight.text.tools.parser import CallParser
from pennyweight.text.tools.tool import Concessions

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pennyweight.text.grammar.compiler import GrammarCompiler
    from pennyweight.text.grammar.mask import GrammarMask
    from pennyweight.text.tools.syntax import CallSyntax
    from pennyweight.text.tools.tool import Tool

Message = dict[str, Any]


@dataclass(frozen=True, slots=True)
class ToolPrompt:
    """What to give `ChatTemplate.render`."""

    messages: list[Message]
    tools: list[dict[str, Any]] | None = None


class Prompter(Protocol):
    """Puts tools, and the calls and results of the past, into messages a template understands.

    InvalidRequestError names the message whose call is malformed.
    """

    def __call__(self, messages: Sequence[Mapping[str, Any]], tools: Sequence[Tool]) -> ToolPrompt: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """`marks` are the texts of the syntax that are control tokens where the vocabulary has them as such."""

    name: str
    syntax: CallSyntax
    prompt: Prompter
    marks: frozenset[str] = frozenset()

    def mask(
        self,
        compiler: GrammarCompiler,
        tools: Sequence[Tool],
        *,
        required: bool,
        parallel: bool,
        control: Mapping[str, int],
        concessions: Concessions | None = None,
    ) -> GrammarMask:
        """Free text or calls of `tools`; only calls if `required`, only one unless `parallel`.

        `control` are the model's control tokens (`Tokenizer.special_tokens`). InvalidRequestError names a
        strict schema, or a custom tool's format, that cannot be enforced; what of others is not is added
        to `concessions`. May take a second: not for the event loop.
        """
        # Not with the module: most starts of the program ask for no grammar.
        from pennyweight.text.tools.call_grammar import call_mask

        known = {text: control[text] for text in self.marks if text in control}
        return call_mask(
            compiler,
            self.syntax,
            tools,
            required=required,
            parallel=parallel,
            control=known,
            concessions=Concessions() if concessions is None else concessions,
        )

    def shown(self, control: Mapping[str, int]) -> frozenset[int]:
        """The control tokens whose text the parser must see; others stay hidden."""
        return frozenset(control[text] for text in self.marks if text in control)

    def parser(self, tools: Sequence[Tool]) -> CallParser:
        """For the text of one answer."""
        return CallParser(self.syntax, tools)
