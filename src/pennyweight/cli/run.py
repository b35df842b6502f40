"""`penny run`: one answer, as it is written, and nothing else on standard output."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pennyweight.cli.options import (  # noqa: TC001  typer reads the annotations at run time
    Adapter,
    Context,
    Json,
    KvCacheDtype,
    MaxTokens,
    Memory,
    MinP,
    Model,
    Seed,
    Stop,
    System,
    Temperature,
    Threads,
    TopK,
    TopP,
    Weights,
)

if TYPE_CHECKING:
    from pennyweight.answers.conversation import Source
    from pennyweight.answers.events import Finished
    from pennyweight.api import Engine


def run(
    prompt: Annotated[str | None, typer.Argument(help="The question; text piped in is put after it.")] = None,
    model: Model = None,
    adapter: Adapter = None,
    system: System = None,
    max_tokens: MaxTokens = None,
    temperature: Temperature = None,
    top_p: TopP = None,
    top_k: TopK = None,
    min_p: MinP = None,
    seed: Seed = None,
    stop: Stop = None,
    context: Context = None,
    memory: Memory = None,
    weights: Weights = None,
    kv_cache_dtype: KvCacheDtype = None,
    threads: Threads = None,
    as_json: Json = False,
) -> None:
    """Answer one prompt. Reads standard input too: `cat file | penny run "Summarise this."`"""
    from pennyweight.cli.answer_view import show
    from pennyweight.cli.session import answering, check_sampling, opened, options_for
    from pennyweight.cli.standard_input import piped_text
    from pennyweight.cli.terminal import write

    question = "\n\n".join(part for part in (prompt, piped_text()) if part)
    if not question.strip():
        raise typer.BadParameter("give a prompt, or pipe some text in", param_hint="PROMPT")
    given = check_sampling(
        {
            "max_tokens": max_tokens,
            "temperature": temperature,
            "top_p": top_p,
            "top_k": top_k,
            "min_p": min_p,
            "seed": seed,
            "stop": stop,
        }
    )
    # One prompt needs memory for one context.
    flags = {
        "model": model,
        "context": context,
        "memory": memory,
        "weights": weights,
        "kv_cache_dtype": kv_cache_dtype,
        "threads": threads,
        "parallel": 1,
    }
    with opened(flags, adapter=adapter) as engine:
        source, options = _source(engine, question, system), options_for(engine, given)
        events = engine.events(source, options, model=answering(engine))
        pieces: list[str] = []
        finished = show(events, pieces, quiet=as_json)
    if as_json:
        write(json.dumps(_report(finished, "".join(pieces)), ensure_ascii=False) + "\n")


def _source(engine: Engine, question: str, system: str | None) -> Source:
    from pennyweight.answers.conversation import Completion
    from pennyweight.api import conversation_from
    from pennyweight.errors import InvalidRequestError

    if not engine.can_chat:
        if system is not None:
            message = f"{engine.name} is a base model: it continues text and takes no --system instructions"
            raise InvalidRequestError(message)
        return Completion(prompt=question)
    instructions = [] if system is None else [{"role": "system", "content": system}]
    return conversation_from([*instructions, {"role": "user", "content": question}])


def _report(finished: Finished, text: str) -> dict[str, Any]:
    usage = asdict(finished.usage)
    return {
        "text": text,
        "finish_reason": finished.reason,
        "usage": {**usage, "total_tokens": usage["prompt_tokens"] + usage["completion_tokens"]},
        "timings": asdict(finished.timings),
    }
