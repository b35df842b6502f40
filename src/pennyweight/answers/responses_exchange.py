"""One request to `/v1/responses`, from its body to the object or the typed events of the answer."""

from __future__ import annotations

from contextlib import aclosing
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from pennyweight.answers.account import FREE
from pennyweight.answers.events import Accepted, Finished, ignored_of
from pennyweight.answers.exchange import Answered, compact_json, whole_answer
from pennyweight.answers.passages import RESULTS, PromptWindow, check_may_search, shown, take_file_search
from pennyweight.answers.renamed_params import Renaming, renamed_params
from pennyweight.answers.responses_events import ResponseEvents
from pennyweight.answers.responses_object import ResponseIdentity, ResponseState, response_object
from pennyweight.answers.responses_schema import parse_response
from pennyweight.answers.served import AnsweringModel
from pennyweight.answers.usage_cost import CostTeller

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence

    from pennyweight.answers.account import Account
    from pennyweight.answers.conversation import Conversation
    from pennyweight.answers.events import AnswerEvent
    from pennyweight.answers.exchange import Backend
    from pennyweight.answers.passages import FileSearch
    from pennyweight.answers.principal import Principal
    from pennyweight.answers.responses_schema import ResponseRequest
    from pennyweight.answers.responses_state import Past
    from pennyweight.answers.served import OpenModel
    from pennyweight.core import Priority
    from pennyweight.errors import PennyweightError

RESPONSES_NAMES: Final = Renaming(
    names={
        "messages": "input",
        "max_completion_tokens": "max_output_tokens",
        "max_tokens": "max_output_tokens",
        "logprobs": "include",
        "response_format.json_schema": "text.format",
        "response_format": "text.format",
        "tool_choice.function": "tool_choice",
        "tool_choice.custom": "tool_choice",
        "tool_choice.allowed_tools": "tool_choice",
    },
    counted_otherwise=frozenset({"messages"}),  # several items make one turn
)
"""What the answering rooms call it, and what this interface does."""
_ELSEWHERE: Final = PromptWindow(context=8192, count_tokens=lambda text: len(text) // 3)
"""Of models whose own is not known: passages are kept short for them."""


class ResponsesExchange:
    """Raises ParameterError or ModelNotFoundError for a body that cannot be honoured.

    `past` is what the body continues; None where nothing is kept.
    """

    num_choices = 1

    def __init__(
        self, backend: Backend, body: Mapping[str, object], project: str, past: Past | None = None
    ) -> None:
        body, searching = take_file_search(body, backend.passages)
        asked = _with_search(parse_response(body, past), searching)
        model = backend.served.resolve(asked.model, AnsweringModel, project)
        self.model, self.asked_model = model.name, asked.model
        self.stream = asked.stream
        self.ignored = asked.ignored
        self._model = model
        self._conversation = asked.conversation
        self.state = asked.state
        self.metadata: Mapping[str, str] = asked.given.get("metadata", {})
        self.identity = _identity(model.name, past)
        self._asked = asked
        self._searching = searching
        self._making = ResponseEvents(self.identity, asked)
        self._cost = CostTeller(backend.pricing, wanted=asked.include_cost, model=model.name)

    async def events(
        self, principal: Principal, *, priority: Priority = "interactive", account: Account = FREE
    ) -> AsyncGenerator[AnswerEvent]:
        """As `Answerer.answer`, its errors told in this interface's names."""
        self._cost.batch = priority == "batch"
        with renamed_params(RESPONSES_NAMES):
            async with self._model.open(patient=priority == "batch") as model:
                options = model.in_own_ids(self._asked.options, asked=self.asked_model)
                conversation = await self._with_passages(principal, prompt_window(model))
                options = replace(options, priority=priority)
                answering = model.answers.answer(conversation, options, principal, account)
                async with aclosing(answering) as events:
                    async for event in events:
                        yield _in_own_names(event)

    async def _with_passages(self, principal: Principal, window: PromptWindow) -> Conversation:
        """What is asked, with what is found in files for it."""
        conversation = self._conversation
        if self._searching is None:
            return conversation
        check_may_search(principal)  # a line of a batch; a request was refused before
        found = await self._searching.found(principal, conversation, window)
        self._making.found = found
        return conversation if found is None else shown(conversation, found.passages)

    def pieces(self, event: AnswerEvent) -> Iterable[dict[str, Any]]:
        """Typed events of the stream."""
        return self._cost.all_told(self._making.of(event))

    def queued(self) -> dict[str, Any]:
        """The `response` object of one that nobody answers yet."""
        return response_object(self.identity, self._asked, ResponseState(status="queued"))

    def failed(self, error: PennyweightError) -> Iterable[dict[str, Any]]:
        """The typed event of an answer that broke off."""
        return self._making.failed(error)

    def answered(self, events: Sequence[AnswerEvent]) -> Answered:
        """The `response` object."""
        if self._making.result is None:  # nobody has followed the stream
            for event in events:
                for _ in self._making.of(event):
                    pass
        assert self._making.result is not None
        (finished,) = (event for event in events if isinstance(event, Finished))
        return Answered(
            body=compact_json(self._cost.told(self._making.result)),
            model=self.model,
            usage=finished.usage,
            timings=finished.timings,
            ignored=ignored_of(events),
        )

    async def whole(
        self, principal: Principal, *, priority: Priority = "interactive", account: Account = FREE
    ) -> Answered:
        """As `Exchange.whole`."""
        return await whole_answer(self, principal, priority=priority, account=account)


def prompt_window(model: OpenModel) -> PromptWindow:
    if model.local is None:
        return _ELSEWHERE
    answerer = model.local.answerer
    return PromptWindow(
        context=answerer.context, count_tokens=lambda text: len(answerer.tokenizer.encode(text))
    )


def _with_search(asked: ResponseRequest, searching: FileSearch | None) -> ResponseRequest:
    """The request as it is told again; what is included then means something."""
    if searching is None:
        return asked
    ignored = tuple(name for name in asked.ignored if name != f"include[{RESULTS}]")
    return replace(asked, hosted=(searching.tool,), ignored=ignored)


def _identity(model: str, past: Past | None) -> ResponseIdentity:
    if past is None or past.identity is None:
        return ResponseIdentity(model=model)
    own_id, created_at = past.identity
    return ResponseIdentity(model=model, id=own_id, created_at=created_at)


def _in_own_names(event: AnswerEvent) -> AnswerEvent:
    if not isinstance(event, Accepted):
        return event
    return replace(event, ignored=tuple(RESPONSES_NAMES(path) for path in event.ignored))
