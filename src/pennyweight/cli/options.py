"""Options that several commands share, spelt once."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

Model = Annotated[
    str | None,
    typer.Option(
        "--model", "-m", help="A name that `penny models` lists, or the path of a GGUF file or folder."
    ),
]
ServedHere = Annotated[
    list[str] | None,
    typer.Option(
        "--model",
        "-m",
        help="A name that `penny models` lists, or a path; `none`: only those elsewhere. "
        "May be repeated: the first answers to OpenAI's names, others are loaded when they are asked for.",
    ),
]
AllInstalled = Annotated[
    bool, typer.Option("--all-installed", help="Serve all other installed models too, when asked for.")
]
LoadTimeout = Annotated[
    int | None,
    typer.Option(metavar="SECONDS", help="How long a request waits for its model; by default 120."),
]
UnloadAfter = Annotated[
    int | None,
    typer.Option(
        metavar="SECONDS",
        help="Unload a model that was idle for so long; by default only when others need the memory.",
    ),
]
System = Annotated[str | None, typer.Option("--system", "-s", help="Instructions before the conversation.")]
MaxTokens = Annotated[int | None, typer.Option(help="Most tokens of an answer.")]
Temperature = Annotated[float | None, typer.Option(help="0 always takes the likeliest token.")]
TopP = Annotated[float | None, typer.Option(help="Sample from the likeliest tokens that sum to this.")]
TopK = Annotated[int | None, typer.Option(help="Sample from this many likeliest tokens; 0: all.")]
MinP = Annotated[float | None, typer.Option(help="Leave out tokens below this share of the likeliest.")]
Seed = Annotated[int | None, typer.Option(help="The same seed gives the same text.")]
Stop = Annotated[list[str] | None, typer.Option(help="End before this text; may be given several times.")]
Context = Annotated[int | None, typer.Option(help="Tokens of prompt and answer together.")]
Parallel = Annotated[int | None, typer.Option(help="Whole contexts that memory holds at once.")]
Memory = Annotated[
    str | None,
    typer.Option(
        metavar="SIZE", help="Most memory the process takes, such as 1.5GiB; by default what suits."
    ),
]
Weights = Annotated[
    Literal["q8_0", "q4_0", "q4_1"] | None,
    typer.Option(
        "--type", help="Round a model of floats to this as it is read; by default it stays as it is."
    ),
]
KvCacheDtype = Annotated[
    Literal["int8", "int4"] | None,
    typer.Option(
        "--kv-cache-dtype",
        help="Keys and values of the context: int8, or int4 in half the memory, less exactly.",
    ),
]
PrefixCacheDir = Annotated[
    str | None,
    typer.Option(
        metavar="FOLDER", help="Keep prefixes of prompts there: they survive eviction and restarts."
    ),
]
PrefixCacheSize = Annotated[
    str | None, typer.Option(metavar="SIZE", help="Most that they take there; by default 2GiB.")
]
Threads = Annotated[int | None, typer.Option(help="Threads of the engine; by default one per core.")]
Json = Annotated[bool, typer.Option("--json", help="Write one JSON object instead.")]
EmbeddingModel = Annotated[
    str | None,
    typer.Option(
        help="Encoder for embeddings, fetched and opened at once; by default all-minilm-l6-v2 at the first "
        "request, or none under --memory."
    ),
]
ElsewhereModel = Annotated[
    list[str] | None,
    typer.Option(
        "--upstream",
        metavar="NAME=URL#MODEL",
        help="Serve a model of another OpenAI-compatible service, whose key is read from NAME_API_KEY; "
        "may be repeated.",
    ),
]
Alias = Annotated[
    list[str] | None,
    typer.Option(metavar="NAME=MODEL", help="Another name of a model served; may be repeated."),
]
ServedAdapter = Annotated[
    list[str] | None,
    typer.Option(
        "--adapter",
        metavar="NAME=FOLDER",
        help="Serve the first model, with the adapter that PEFT saved in FOLDER, as NAME; FOLDER@MODEL: "
        "another model. May be repeated.",
    ),
]
Adapter = Annotated[
    str | None,
    typer.Option(metavar="FOLDER", help="Answer with the adapter (LoRA) that PEFT saved in this folder."),
]
Data = Annotated[
    str | None,
    typer.Option(
        metavar="FOLDER", help="Folder of the database and the files; by default ~/.local/share/pennyweight."
    ),
]
Database = Annotated[
    str | None,
    typer.Option(metavar="URL", help="PostgreSQL database instead of a file in the data folder."),
]
Host = Annotated[str | None, typer.Option(help="Address to listen on; by default 127.0.0.1.")]
Port = Annotated[int | None, typer.Option(help="Port to listen on; by default 8000; 0: any.")]
ApiKey = Annotated[
    str | None, typer.Option(help="Key that clients must send; better set as PENNYWEIGHT_API_KEY.")
]
AllowHost = Annotated[
    list[str] | None,
    typer.Option(help="A name clients call this server by, beside its address; may be repeated."),
]
AllowOrigin = Annotated[
    list[str] | None, typer.Option(help="Origin of web pages that may use this server; may be repeated.")
]
