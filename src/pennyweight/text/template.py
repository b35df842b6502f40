"""A model's chat template: messages become prompt parts that know who wrote them.

Every string of the messages, tools and further variables is marked before rendering, and marks follow the
text through whatever the template does with it (see `marked`). Marks never change the rendered text, only how
it is cut. Where the template has content
- trimmed, sliced, split, joined, replaced in, concatenated: exactly the user's characters are untrusted;
- JSON-encoded, formatted, changed in case, indented, printed as a list or mapping: the whole result is
untrusted;
- compared, tested, measured: nothing of the content is in the output; what the template then writes is its
own.
"""

from __future__ import annotations

from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any

from jinja2 import Template, meta
from jinja2.exceptions import SecurityError, TemplateError, TemplateSyntaxError, UndefinedError

from pennyweight.errors import InvalidRequestError, ModelFileError
from pennyweight.text.budget import BudgetExceededError
from pennyweight.text.folder_vocabulary import FOLDER_PREFIX
from pennyweight.text.marked import mark, marks_of
from pennyweight.text.prompt import PromptPart
from pennyweight.text.sandbox import ChatEnvironment
from pennyweight.text.vocabulary import PREFIX

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

MAX_SOURCE_CHARS = 1 << 20
_OWN_VARIABLES = frozenset(
    {"messages", "tools", "documents", "add_generation_prompt"}
    | {"bos_token", "eos_token", "unk_token", "pad_token"}
)
_REASONING = ("reasoning_content", "thinking", "reasoning")
_RENDER_ERRORS = (
    TypeError,
    ValueError,
    LookupError,
    AttributeError,
    ArithmeticError,
    RecursionError,
    MemoryError,
)


class ChatTemplate:
    """Immutable and safe to share between threads."""

    def __init__(
        self,
        source: str,
        *,
        special_tokens: Mapping[str, str] | None = None,
        clock: Callable[[], datetime] = datetime.now,
    ) -> None:
        """`special_tokens` are trusted variables (`bos_token`, ...); `clock` gives templates the date.

        ModelFileError if the source is not a template this sandbox runs.
        """
        if len(source) > MAX_SOURCE_CHARS:
            raise ModelFileError(
                f"the chat template has {len(source)} characters; the limit is {MAX_SOURCE_CHARS}."
            )
        self._clock = clock
        self._special_tokens = dict(special_tokens or {})
        self._idle: list[tuple[ChatEnvironment, Template]] = []
        environment = ChatEnvironment(clock=clock)
        try:
            read = meta.find_undeclared_variables(environment.parse(source))
            self._code = environment.compile(source)
        except TemplateSyntaxError as error:
            raise ModelFileError(
                f"the chat template is malformed in line {error.lineno}: {error.message}"
            ) from error
        except (RecursionError, MemoryError, SyntaxError) as error:
            raise ModelFileError("the chat template is nested too deeply.") from error
        self.variables = frozenset(read) - _OWN_VARIABLES - environment.globals.keys()
        """What a request may set beside messages and tools."""

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, Any]) -> ChatTemplate | None:
        """The template of a model file, with its special tokens; None for a model made without one."""
        source = metadata.get("tokenizer.chat_template")
        if source is None:
            return None
        if (told := metadata.get(FOLDER_PREFIX + "special_tokens")) is not None:
            return cls(source, special_tokens=told)
        texts = metadata.get(PREFIX + "tokens", ())
        roles = {"bos": "bos", "eos": "eos", "unk": "unknown", "pad": "padding"}
        tokens = {
            f"{name}_token": texts[token]
            for name, role in roles.items()
            if isinstance(token := metadata.get(f"{PREFIX}{role}_token_id"), int) and 0 <= token < len(texts)
        }
        return cls(source, special_tokens=tokens)

    def render(
        self,
        messages: Sequence[Mapping[str, Any]],
        *,
        tools: Sequence[Mapping[str, Any]] | None = None,
        add_generation_prompt: bool = True,
        **template_kwargs: Any,
    ) -> list[PromptPart]:
        """The prompt for `messages` (plain JSON data), neighbouring parts of one kind joined.

        InvalidRequestError with the template's own words where it refuses the messages; ModelFileError where
        the template breaks out of its bounds.
        """
        try:
            untrusted = {
                "messages": mark([_with_reasoning(message) for message in messages]),
                "tools": mark(tools),
                "documents": None,
                **mark(template_kwargs),
            }
            variables = {**untrusted, "add_generation_prompt": add_generation_prompt, **self._special_tokens}
            with self._compiled() as (environment, template):
                blocks = template.root_render_func(template.new_context(variables))
                return _cut(environment.concat(blocks))
        except (BudgetExceededError, SecurityError) as error:
            raise ModelFileError(f"the model's chat template was stopped: {error}.") from error
        except UndefinedError as error:
            raise InvalidRequestError(_refusal(f"{error.message}"), param="messages") from error
        except TemplateError as error:
            raise InvalidRequestError(
                _refusal(error.message or "no reason given"), param="messages"
            ) from error
        except _RENDER_ERRORS as error:
            reason = f"{type(error).__name__}: {error}"
            raise InvalidRequestError(_refusal(reason), param="messages") from error

    @contextmanager
    def _compiled(self) -> Iterator[tuple[ChatEnvironment, Template]]:
        """The template in an environment that nobody else has meanwhile, with a whole budget.

        Making one takes twice as long as rendering a short chat, so they are used again; neither keeps
        anything of what was rendered.
        """
        try:
            own = self._idle.pop()
        except IndexError:
            environment = ChatEnvironment(clock=self._clock)
            own = environment, Template.from_code(environment, self._code, dict(environment.globals))
        own[0].budget.renew()
        try:
            yield own
        finally:
            self._idle.append(own)


def missing_chat_template(model: str) -> InvalidRequestError:
    """What to raise for a chat with a base model."""
    return InvalidRequestError(
        f"{model} has no chat template: it is a base model that continues text. Use plain completion "
        f"(`penny run --model {model}`), or choose a model made for chat. A model in a folder that lacks its "
        "template can be given one as chat_template.jinja there.",
        param="model",
    )


def _refusal(reason: str) -> str:
    return f"the model's chat template cannot render these messages: {reason}"


def _with_reasoning(message: Mapping[str, Any]) -> dict[str, Any]:
    """Reasoning under every name templates read it by, as `transformers` offers it."""
    reasoning = next((message[key] for key in _REASONING if message.get(key) is not None), None)
    if reasoning is None:
        return dict(message)
    return {"thinking": reasoning, **message, "reasoning_content": reasoning}


def _cut(text: str) -> list[PromptPart]:
    """`text` in runs of one origin."""
    parts: list[PromptPart] = []
    plain = str.__str__(text)
    position = 0
    for start, end in (*marks_of(text), (len(text), len(text))):
        pieces: Iterable[tuple[int, int, bool]] = ((position, start, True), (start, end, False))
        parts += [PromptPart(plain[a:b], trusted) for a, b, trusted in pieces if a < b]
        position = end
    return parts
