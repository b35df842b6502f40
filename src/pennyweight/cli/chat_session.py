"""The state of one `penny chat`: messages so far, what was measured, commands that begin with a slash."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from pennyweight.api import conversation_from
from pennyweight.cli.answer_view import show
from pennyweight.cli.session import answering
from pennyweight.cli.terminal import notice, write
from pennyweight.errors import PennyweightError

if TYPE_CHECKING:
    from pennyweight.answers.events import Finished
    from pennyweight.answers.options import Options
    from pennyweight.api import Engine

HELP = """\
/system TEXT  set the instructions before the conversation; without TEXT, remove them
/reset        forget the conversation, keep the instructions
/save FILE    write the conversation to a new file as OpenAI's messages in JSON
/stats        speed of the last answer and what was found in the cache
/help         this list
/quit         end (so does Ctrl-D)"""


class ChatSession:
    """Takes what the person types, line by line."""

    def __init__(self, engine: Engine, options: Options, *, system: str | None) -> None:
        self.ended = False
        self._engine = engine
        self._options = options
        self._system = system
        self._turns: list[dict[str, str]] = []
        self._last: Finished | None = None

    @property
    def model_name(self) -> str:
        return answering(self._engine)

    @property
    def messages(self) -> list[dict[str, str]]:
        """Everything the model is given, in OpenAI's form."""
        instructions = [] if self._system is None else [{"role": "system", "content": self._system}]
        return [*instructions, *self._turns]

    def take(self, line: str) -> None:
        """Answer `line`, or obey it."""
        if line.startswith("/"):
            self._obey(line)
        elif line.strip():
            self._answer(line)

    def _answer(self, question: str) -> None:
        self._turns.append({"role": "user", "content": question})
        pieces: list[str] = []
        try:
            source = conversation_from(self.messages)
            events = self._engine.events(source, self._options, model=self.model_name)
            self._last = show(events, pieces)
        except KeyboardInterrupt:
            write("\n")
            notice("(stopped)")
        except PennyweightError as error:
            notice(f"penny: {error.message}")
        if pieces:
            # What was said before a stop stays said; an answer that never began leaves no trace.
            self._turns.append({"role": "assistant", "content": "".join(pieces)})
        else:
            self._turns.pop()

    def _obey(self, line: str) -> None:
        name, _, rest = line[1:].partition(" ")
        rest = rest.strip()
        match name:
            case "system":
                self._system = rest or None
                notice("Instructions set." if rest else "Instructions removed.")
            case "reset":
                self._turns.clear()
                notice("Conversation forgotten.")
            case "save":
                self._save(rest)
            case "stats":
                notice(self._stats())
            case "help":
                notice(HELP)
            case "quit" | "exit":
                self.ended = True
            case _:
                notice(f"There is no command /{name}; /help lists them.")

    def _save(self, file: str) -> None:
        if not file:
            notice("Name a file: /save FILE")
            return
        content = {"model": self.model_name, "messages": self.messages}
        try:
            text = (json.dumps(content, ensure_ascii=False, indent=2) + "\n").encode()
            with Path(file).expanduser().open("xb") as target:
                target.write(text)
        except FileExistsError:
            notice(f"penny: {file} exists and stays as it is; name another file")
        except OSError as error:
            notice(f"penny: {file} could not be written: {error.strerror or error}")
        except (RuntimeError, ValueError) as error:  # nobody's home (`~nobody`); no path (a NUL), no UTF-8
            notice(f"penny: {file!r} could not be written: {error}")
        else:
            notice(f"Saved {len(self.messages)} messages to {file}.")

    def _stats(self) -> str:
        if self._last is None:
            return "No answer yet."
        usage, timings = self._last.usage, self._last.timings
        # The first token belongs to the prompt's step: decoding made the others.
        decoded = usage.completion_tokens - 1
        speed = f"{decoded / timings.decode_s:.1f} tokens/s" if timings.decode_s > 0 and decoded > 0 else "-"
        return (
            f"{speed}, first token after {timings.ttft_s:.2f} s; {usage.prompt_tokens} prompt tokens, "
            f"{usage.cached_tokens} of them cached, {usage.completion_tokens} answered; "
            f"context {usage.prompt_tokens + usage.completion_tokens} of {self._engine.context}"
        )
