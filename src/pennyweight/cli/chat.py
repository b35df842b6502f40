"""`penny chat`: a conversation in the terminal. Ctrl-C stops the answer under way, Ctrl-D the program."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pennyweight.cli.options import (  # noqa: TC001  typer reads the annotations at run time
    Adapter,
    Context,
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
    from pennyweight.cli.chat_session import ChatSession


def chat(
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
) -> None:
    """Talk with the model. /help lists what else can be typed."""
    from pennyweight.cli.chat_session import ChatSession
    from pennyweight.cli.session import check_sampling, opened, options_for
    from pennyweight.errors import InvalidRequestError

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
        if not engine.can_chat:
            message = f"{engine.name} is a base model and cannot hold a conversation; try `penny run`"
            raise InvalidRequestError(message)
        _talk(ChatSession(engine, options_for(engine, given), system=system))


def _talk(session: ChatSession) -> None:
    import sys

    from pennyweight.cli.terminal import notice

    person = sys.stdin.isatty()
    if person:
        import readline  # noqa: F401  gives `input` history and editing

        notice(f"{session.model_name}. Ctrl-C stops an answer, /help lists commands, Ctrl-D ends.")
    while not session.ended:
        try:
            line = input("> ") if person else _piped_line()
        except EOFError:
            return
        except UnicodeDecodeError as error:
            notice(f"penny: that line is not UTF-8 text (byte {error.start} is wrong) and was left out")
            continue
        except KeyboardInterrupt:
            if not person:
                raise
            notice("\n(Ctrl-D ends)")
            continue
        session.take(line)


def _piped_line() -> str:
    """The next line; by bytes, so that one that is not text costs only itself. Raises EOFError at the end."""
    import sys

    line = sys.stdin.buffer.readline()
    if not line:
        raise EOFError
    return line.decode("utf-8").rstrip("\r\n")
