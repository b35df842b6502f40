"""`penny distill`: a stronger model's answers, checked, become lessons for another one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pennyweight.cli.options import (  # noqa: TC001  typer reads the annotations at run time
    Context,
    Data,
    ElsewhereModel,
    MaxTokens,
    Memory,
    Threads,
)

Teacher = Annotated[
    str | None,
    typer.Option(
        metavar="MODEL", help="Whose answers are learnt: a name, a path, or one that --upstream names."
    ),
]
Student = Annotated[str, typer.Option(metavar="MODEL", help="The model that learns them.")]
PromptFile = Annotated[
    Path | None,
    typer.Option(
        "--prompts", metavar="FILE", help='JSON Lines: {"prompt": "..."} or {"messages": [...]} each.'
    ),
]
Stored = Annotated[
    list[str] | None,
    typer.Option(
        metavar="KEY=VALUE",
        help="In place of --prompts: learn from stored chat completions with this metadata; may be repeated.",
    ),
]
Samples = Annotated[int, typer.Option(min=1, max=64, help="Answers of the teacher to each prompt.")]
Heat = Annotated[
    float | None,
    typer.Option("--temperature", min=0, max=2, help="Of the teacher; by default 0, or 0.8 of samples."),
]
Check = Annotated[
    str | None,
    typer.Option(
        metavar="COMMAND",
        help="A program that judges answers: for each line of JSON with messages and answer it writes a "
        "number. The largest above 0 is learnt.",
    ),
]
SchemaFile = Annotated[
    Path | None,
    typer.Option("--schema", metavar="FILE", help="A JSON schema that every answer follows, strictly."),
]
HeldOut = Annotated[
    float, typer.Option(min=0.01, max=0.9, help="Share of the prompts that only compare before and after.")
]
Epochs = Annotated[int | None, typer.Option(min=1, help="How often every lesson is seen; by default auto.")]
Suffix = Annotated[str, typer.Option(help="Part of the new model's name.")]
Chance = Annotated[int, typer.Option("--seed", min=0, help="Of samples and training.")]
WorkFolder = Annotated[
    Path,
    typer.Option("--work", metavar="FOLDER", help="Where answers, lessons and the table are kept."),
]


def distill(
    student: Student,
    teacher: Teacher = None,
    prompts: PromptFile = None,
    stored: Stored = None,
    samples: Samples = 1,
    temperature: Heat = None,
    max_tokens: MaxTokens = None,
    check: Check = None,
    schema: SchemaFile = None,
    held_out: HeldOut = 0.2,
    epochs: Epochs = None,
    suffix: Suffix = "distilled",
    seed: Chance = 1,
    work: WorkFolder = Path("distillation"),
    upstream: ElsewhereModel = None,
    context: Context = None,
    memory: Memory = None,
    threads: Threads = None,
    data: Data = None,
) -> None:
    """Teach a model what another one answers. The same command again goes on where it was interrupted."""
    from pennyweight.cli.distilling import Distilling, Wish, plan_for
    from pennyweight.upstreams import upstream_tables

    wish = Wish(
        student=student,
        teacher=teacher,
        prompts=prompts,
        stored=tuple(stored or ()),
        samples=samples,
        temperature=(0.8 if samples > 1 else 0.0) if temperature is None else temperature,
        max_tokens=max_tokens,
        check=check,
        schema=schema,
        held_out=held_out,
        epochs=epochs,
        suffix=suffix,
        seed=seed,
    )
    flags = {"context": context, "memory": memory, "threads": threads, "data": data}
    Distilling(wish, plan_for(wish), work, flags, upstream_tables(upstream or ())).run()
