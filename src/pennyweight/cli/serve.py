"""`penny serve`: OpenAI's interface over HTTP."""

from __future__ import annotations

import gc
import signal
from typing import TYPE_CHECKING, Annotated

import typer

from pennyweight.cli.options import (  # noqa: TC001  typer reads the annotations at run time
    Alias,
    AllInstalled,
    AllowHost,
    AllowOrigin,
    ApiKey,
    Context,
    Data,
    Database,
    ElsewhereModel,
    EmbeddingModel,
    Host,
    KvCacheDtype,
    LoadTimeout,
    Memory,
    Parallel,
    Port,
    PrefixCacheDir,
    PrefixCacheSize,
    ServedAdapter,
    ServedHere,
    Threads,
    UnloadAfter,
    Weights,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from contextlib import ExitStack

    from starlette.types import ASGIApp

    from pennyweight.config import Settings
    from pennyweight.store.database import Database as OpenDatabase


def serve(
    model: ServedHere = None,
    all_installed: AllInstalled = False,
    load_timeout: LoadTimeout = None,
    unload_after: UnloadAfter = None,
    host: Host = None,
    port: Port = None,
    api_key: ApiKey = None,
    context: Context = None,
    parallel: Parallel = None,
    memory: Memory = None,
    weights: Weights = None,
    kv_cache_dtype: KvCacheDtype = None,
    threads: Threads = None,
    prefix_cache_dir: PrefixCacheDir = None,
    prefix_cache_size: PrefixCacheSize = None,
    embedding_model: EmbeddingModel = None,
    alias: Alias = None,
    adapter: ServedAdapter = None,
    upstream: ElsewhereModel = None,
    allow_host: AllowHost = None,
    allow_origin: AllowOrigin = None,
    insecure: Annotated[bool, typer.Option("--insecure", help="Serve other machines without a key.")] = False,
    data: Data = None,
    database: Database = None,
) -> None:
    """Serve one model or several to any OpenAI client."""
    settings = dict(locals())  # most options are called as their settings are
    for name in ("model", "alias", "adapter", "allow_host", "allow_origin"):
        del settings[name]
    from pennyweight.config import adapter_table, alias_table
    from pennyweight.upstreams import upstream_tables

    start(
        settings
        | model_flags(model)
        | {
            "all_installed": all_installed or None,
            "insecure": insecure or None,
            "aliases": alias_table(alias) if alias else None,
            "adapters": adapter_table(adapter) if adapter else None,
            "upstream": upstream_tables(upstream) if upstream else None,
            "allow_hosts": tuple(allow_host) if allow_host else None,
            "allow_origins": tuple(allow_origin) if allow_origin else None,
        }
    )


def model_flags(models: list[str] | None) -> dict[str, object]:
    """The settings that a list of models stands for."""
    if not models:
        return {}
    return {"model": models[0], "further_models": tuple(models[1:]) or None}


def start(flags: Mapping[str, object]) -> None:
    """Serve with these settings over those of the file and the environment, until told to stop."""
    from pennyweight.cli.terminal import notice
    from pennyweight.config import Settings

    settings = Settings.load(flags)
    is_open_door(settings)  # a host that is none is told before anything is opened

    from contextlib import ExitStack

    from pennyweight.server import serve as server

    with server.bind(settings.host, settings.port) as listener, ExitStack() as stack:

        def prepare(check: Callable[[], None]) -> ASGIApp:
            app, names = _prepared(stack, settings, check)
            address = f"http://{_bracketed(settings.host)}:{listener.getsockname()[1]}"
            notice(f"Serving {names} at {address}/v1 (documentation: {address}/docs; Ctrl-C stops)")
            if settings.record:
                notice("Keeping every chat and response that does not say otherwise")
            return app

        received = server.serve(listener, prepare=prepare)
    if received is signal.SIGINT:
        raise typer.Exit(130)


def _prepared(stack: ExitStack, settings: Settings, check: Callable[[], None]) -> tuple[ASGIApp, str]:
    """The application over a store and models that `stack` closes, and the names of what it serves."""
    from pennyweight.cli.terminal import progress_bars
    from pennyweight.residents.server_models import open_models
    from pennyweight.server.app import create_app, working
    from pennyweight.server.services import open_services

    services = stack.enter_context(open_services(settings))
    if is_open_door(settings):
        refuse_without_keys(services.database, settings.host)
    with progress_bars() as show:

        def progress(stage: str, done: int, total: int) -> None:
            check()
            show(stage, done, total)

        here, encoder = stack.enter_context(open_models(settings, progress=progress))
    gc.freeze()  # what is here now is here to stay, and is not looked through any more
    gc.enable()
    app = create_app(here, settings, services, encoder=encoder)
    stack.enter_context(working(app))
    names = [*([] if here is None else here.stats()), *settings.adapters, *settings.upstream]
    return app, ", ".join(names) or "embeddings"


def is_open_door(settings: Settings) -> bool:
    """Whether other machines reach the server, no key was given with the settings, and nobody said they may.

    Raises ConfigError for a host that is none.
    """
    return settings.api_key is None and not settings.insecure and not is_loopback(settings.host)


def refuse_without_keys(database: OpenDatabase, host: str) -> None:
    """Raise ConfigError if no key was ever created: then everybody could use the server."""
    from pennyweight.errors import ConfigError
    from pennyweight.store.keys import Keys

    if not database.read_now(Keys().any):
        message = (
            f"{host} can be reached from other machines and there is no API key; make one with "
            "`penny keys create`, give one with --api-key or PENNYWEIGHT_API_KEY, or say --insecure"
        )
        raise ConfigError(message)


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach `host`; a name counts by all the addresses it stands for.

    Raises ConfigError if it stands for none.
    """
    import ipaddress
    import socket

    from pennyweight.errors import ConfigError

    try:
        addresses = [entry[4][0] for entry in socket.getaddrinfo(host, None)]
    except (OSError, UnicodeError) as error:
        message = f"{host!r} is no address of this machine; choose another --host, such as 127.0.0.1"
        raise ConfigError(message) from error
    return all(ipaddress.ip_address(str(address).partition("%")[0]).is_loopback for address in addresses)


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
