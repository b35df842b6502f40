"""The steps of `penny distill`: the teacher answers, the student learns what is right, both are compared.

Models are opened one after the other, each only if something is left to ask it.
"""

from __future__ import annotations

import gc
import json
import os
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from pennyweight.answers.principal import LOCAL
from pennyweight.cli.batch import request_bar
from pennyweight.cli.terminal import notice, progress_bars
from pennyweight.config import NO_MODEL, Settings
from pennyweight.distillation.asking import Asking
from pennyweight.distillation.checks import AnyAnswer, Program
from pennyweight.distillation.comparison import SameAs, row
from pennyweight.distillation.lessons import choose
from pennyweight.distillation.prompts import divided, read_prompts
from pennyweight.distillation.stored import stored_answers
from pennyweight.distillation.work import Plan, Work, digest
from pennyweight.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from pennyweight.answers.endpoints import Endpoints
    from pennyweight.distillation.asking import Answers
    from pennyweight.distillation.checks import Check
    from pennyweight.distillation.comparison import Row
    from pennyweight.distillation.prompts import Prompt, Prompts


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What was asked for on the command line."""

    student: str
    teacher: str | None
    prompts: Path | None
    stored: tuple[str, ...]
    samples: int
    temperature: float
    max_tokens: int | None
    check: str | None
    schema: Path | None
    held_out: float
    epochs: int | None
    suffix: str
    seed: int


def plan_for(wish: Wish) -> Plan:
    """What the work folder is for. ConfigError if the wish makes no sense, or a file cannot be read."""
    if (wish.prompts is None) == (not wish.stored):
        raise ConfigError("give either --prompts, which the teacher answers, or --stored answers, not both")
    if wish.prompts is not None and wish.teacher is None:
        raise ConfigError("name the model that answers the prompts with --teacher")
    source = ",".join(wish.stored) if wish.prompts is None else digest(wish.prompts)
    return Plan(
        teacher=wish.teacher,
        student=wish.student,
        prompts=source,
        held_out=wish.held_out,
        samples=wish.samples,
        temperature=wish.temperature,
        max_tokens=wish.max_tokens,
        seed=wish.seed,
        schema=None if wish.schema is None else _schema(wish.schema),
        check=wish.check,
    )


def _schema(path: Path) -> Mapping[str, Any]:
    try:
        schema = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise ConfigError(f"the schema {path} cannot be read: {error}") from error
    if not isinstance(schema, dict):
        raise ConfigError(f"the schema {path} must be a JSON object")
    return schema


class Distilling:
    """One distillation from the wish to the table."""

    def __init__(
        self,
        wish: Wish,
        plan: Plan,
        folder: Path,
        flags: Mapping[str, object],
        upstream: Mapping[str, Mapping[str, object]],
    ) -> None:
        """`flags` are settings of every model that is opened here. ConfigError for a folder in use."""
        self._wish = wish
        self._schema = plan.schema
        self._flags = flags
        self._upstream = upstream
        self._work = Work(folder, plan)
        self._check: Check = AnyAnswer() if wish.check is None else Program(wish.check)

    def run(self) -> None:
        """Every step that is not done yet; the table at the end."""
        prompts, taught = self._taught()
        chosen = choose(prompts.lessons, taught, self._check)
        lessons = self._work.write_lessons(prompts.lessons, chosen.best)
        notice(chosen.told())
        judge = self._judge(prompts, taught)
        rows = [row("teacher", self._wish.teacher or "stored", prompts.held_out, taught, judge)]
        rows.append(self._student("before", self._served(self._wish.student), prompts, judge))
        tuned = self._tuned(lessons)
        rows.append(self._student("after", tuned, prompts, judge))
        self._work.keep_table(rows)
        show_rows(rows)

    def _taught(self) -> tuple[Prompts, Answers]:
        """The prompts and the teacher's answers to all of them."""
        wish = self._wish
        if wish.prompts is None:
            return self._stored()
        prompts = _enough(read_prompts(wish.prompts, held_out=wish.held_out))
        assert wish.teacher is not None
        once = self._asking(self._served(wish.teacher))
        asking = replace(once, samples=wish.samples, temperature=wish.temperature)
        return prompts, self._ask("teacher", prompts.all, asking, wish.teacher)

    def _stored(self) -> tuple[Prompts, Answers]:
        from pennyweight.store.data_folder import DataFolder
        from pennyweight.store.database import Database

        settings = Settings.load(self._flags)
        metadata = dict(_entry(item) for item in self._wish.stored)
        with Database.open(settings.database or DataFolder.open(settings.data).database_url) as database:
            found, answers = stored_answers(
                database, LOCAL.project, model=self._wish.teacher, metadata=metadata
            )
        return _enough(divided(found, held_out=self._wish.held_out)), answers

    def _judge(self, prompts: Prompts, taught: Answers) -> Check:
        """What is right on prompts held out: the check says it, or else it is what the teacher answered."""
        if self._wish.check is not None:
            return self._check
        return SameAs(choose(prompts.held_out, taught, self._check).best)

    def _student(self, when: str, model: str, prompts: Prompts, judge: Check) -> Row:
        asking = self._asking(model)
        answers = self._ask(f"student-{when}", prompts.held_out, asking, self._wish.student)
        return row(f"student {when}", model, prompts.held_out, answers, judge)

    def _asking(self, model: str) -> Asking:
        """As a student is asked: once, for its likeliest answer."""
        wish = self._wish
        return Asking(model=model, max_tokens=wish.max_tokens, seed=wish.seed, schema=self._schema)

    def _ask(self, name: str, prompts: Sequence[Prompt], asking: Asking, source: str) -> Answers:
        """`source` is what is opened to answer, if anything is left to be answered."""
        with ExitStack() as stack:
            progress = stack.enter_context(request_bar(len(prompts)))
            return self._work.ask(
                name,
                prompts,
                asking,
                endpoints=lambda: stack.enter_context(self._answering(source)),
                principal=LOCAL,
                progress=progress,
            )

    def _tuned(self, lessons: Path) -> str:
        """The name of the student that has learnt them."""
        from pennyweight.cli.student import learn
        from pennyweight.cli.tuning_wish import TuningWish

        wish = self._wish
        asked = TuningWish(
            model=wish.student,
            method="supervised",
            hyperparameters={} if wish.epochs is None else {"n_epochs": wish.epochs},
            suffix=wish.suffix,
            seed=wish.seed,
        )
        return learn(Settings.load({**self._flags, "model": wish.student}), lessons, asked)

    @contextmanager
    def _answering(self, source: str) -> Iterator[Endpoints]:
        """A model here, by name or path, or one elsewhere that `--upstream` names."""
        from pennyweight.jobs.tuned_shelf import TunedShelf
        from pennyweight.residents.server_models import open_models
        from pennyweight.server.elsewhere import models_elsewhere
        from pennyweight.server.metrics import Metrics
        from pennyweight.server.services import open_services
        from pennyweight.serving import serving

        there = {source: self._upstream[source]} if source in self._upstream else None
        model = source if there is None else NO_MODEL
        settings = Settings.load({**self._flags, "model": model, "upstream": there})
        with progress_bars() as show, open_models(settings, progress=show) as (here, encoder):
            gc.freeze()  # what is here now is here to stay, and is not looked through any more
            gc.enable()
            metrics = Metrics(here, encoder.stats, info={})
            elsewhere = models_elsewhere(settings.upstream.values(), metrics, environ=os.environ)
            with open_services(settings) as services:
                tuned = TunedShelf(services.database, services.blobs)
                yield serving(here, encoder, settings, elsewhere=elsewhere, tuned=tuned).endpoints

    def _served(self, source: str) -> str:
        """What a model is called in requests."""
        from pennyweight.residents.server_models import served_name

        return source if source in self._upstream else served_name(source)


def _entry(item: str) -> tuple[str, str]:
    key, sign, value = item.partition("=")
    if not key or not sign:
        raise ConfigError(f"stored completions are named by their metadata, KEY=VALUE, not {item!r}")
    return key, value


def _enough(prompts: Prompts) -> Prompts:
    if not prompts.held_out:
        told = f"of {len(prompts.all)} prompts none is held out to compare with"
        raise ConfigError(f"{told}; give more prompts, or raise --held-out")
    return prompts


def show_rows(rows: Sequence[Row]) -> None:
    """The table on standard output."""
    width = max(len(one.model) for one in rows)
    print(f"{'':16}{'model':{width}}  {'right':>7}  {'tokens each':>11}")
    for one in rows:
        print(f"{one.name:16}{one.model:{width}}  {one.right:>7.1%}  {one.tokens_each:>11.1f}")
