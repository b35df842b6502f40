"""Logit distillation into a student with half of the layers: how much of the teacher minutes keep.

    python -m examples.half_depth train corpus.txt.gz chats.jsonl.gz --out half --threads 1
    penny run --model half/student.gguf "Write of the sea."
    python -m examples.half_depth speed --out half                      # on a machine that does nothing else

The student begins as every second layer of the teacher, which by itself speaks nonsense. At every token of
texts and chats it learns the teacher's whole distribution (KL(teacher || student), temperature 1), which both
compute side by side; nothing is generated. In the second half of the steps a student of four bits computes
with rounded weights, as it will be served. What is held out by its hash measures it before, and after, from
the file that is served. The same command goes on where it was interrupted.
"""

from __future__ import annotations

import argparse
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, Final

from examples.results import keep
from pennyweight.api import Engine, find_model
from pennyweight.models.source import open_source

if TYPE_CHECKING:
    from collections.abc import Sequence

    from examples.half_depth.divergence import Agreement
    from pennyweight.tune.group import Group

RESULTS: Final = Path(__file__).with_name("results.json")
STUDENT: Final = "student.gguf"
_SHALLOW: Final = "untrained.gguf"
_MEASURED_TOKENS: Final = 16_384  # held out
_SEED: Final = 1
_ROUNDED_FROM: Final = 0.5  # of the steps: from there on a student of four bits learns to be rounded
_RUNS: Final = 5
_WRITTEN: Final = 128  # tokens of each


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one step."""
    asked = _arguments(arguments)
    asked.run(asked)


def _train(asked: argparse.Namespace) -> None:
    from examples.half_depth.lesson import Course, Lesson
    from examples.half_depth.shallow import is_in_four_bits, kept_layers, write_shallow, write_trained
    from pennyweight.tune.memory import keep_freed_memory
    from pennyweight.tune.precision import use_threads

    keep_freed_memory()
    use_threads(asked.threads)
    teacher, out = find_model(asked.model, None), asked.out
    out.mkdir(parents=True, exist_ok=True)
    write_shallow(teacher, out / _SHALLOW)
    learnt, held_out = _read(teacher, asked.files, measured=asked.measured)
    lesson = Lesson(teacher, out / _SHALLOW)
    depth = len(lesson.student.spec.layers)
    course = Course(
        tokens=asked.tokens,
        step_tokens=asked.step_tokens,
        rate=asked.rate,
        seed=_SEED,
        rounded_from=_ROUNDED_FROM if is_in_four_bits(out / _SHALLOW) else 1.0,
    )
    pack = course.step_tokens
    if not (out / "checkpoints").exists():
        _keep(asked, "untrained", lesson.measure(held_out, pack_tokens=pack), layers=depth)
    progress = lesson.run(course, learnt, out / "checkpoints", partial(print, flush=True))
    write_trained(out / _SHALLOW, out / STUDENT, lesson.student)
    served = Lesson(teacher, out / STUDENT)
    _keep(asked, "taught", served.measure(held_out, pack_tokens=pack), layers=depth)
    told = {
        "trained_tokens": progress.trained_tokens,
        "minutes": round(progress.seconds / 60, 2),
        "cpu_minutes": round(progress.cpu_s / 60, 2),
        "steps": progress.step,
        "rate": asked.rate,
        "layers": list(kept_layers(len(lesson.teacher_spec.layers))),
    }
    keep(asked.results, "trainings", "taught", told)


def _read(teacher: Path, files: Sequence[Path], *, measured: int) -> tuple[list[Group], list[Group]]:
    """To learn from, and held out: as many documents of that as have `measured` tokens."""
    from examples.half_depth.texts import documents, encoded, is_held_out
    from pennyweight.tune.tokens import Renderer

    with open_source(teacher) as source:
        renderer = Renderer.from_metadata(source.metadata, model_name=teacher.stem)
    given = [document for path in files for document in documents(path)]
    learnt = encoded((one for one in given if not is_held_out(one)), renderer)
    held_out, tokens = list[Any](), 0
    # Spread over all files: each has its share.
    aside = encoded((one for one in given if is_held_out(one)), renderer)
    for group in aside[:: max(1, sum(one.num_tokens for one in aside) // measured)]:
        held_out.append(group)
        tokens += group.num_tokens
    print(f"{len(learnt)} documents to learn from, {tokens} tokens of {len(held_out)} others to measure with")
    return learnt, held_out


def _keep(asked: argparse.Namespace, row: str, seen: Agreement, *, layers: int) -> None:
    keep(asked.results, "test", row, {"layers": layers, **seen.told()})
    print(row, seen.told())


def _speed(asked: argparse.Namespace) -> None:
    paths = {"teacher": find_model(asked.model, None), "student": asked.out / STUDENT}
    with ExitStack() as opened:
        engines = {
            row: opened.enter_context(Engine.open(path, threads=asked.threads, context=512, parallel=1))
            for row, path in paths.items()
        }
        runs = [{row: _tokens_per_s(engine) for row, engine in engines.items()} for _ in range(_RUNS)]
    for row, path in paths.items():
        told = {
            "tokens_per_s": round(median(run[row] for run in runs), 1),
            "megabytes": round(path.stat().st_size / 1e6, 1),
        }
        keep(asked.results, "speed", row, {**told, "threads": asked.threads})
        print(row, told)


def _tokens_per_s(engine: Engine) -> float:
    """Written one after the other, behind the first.

    Sampled: at temperature 0 the student soon repeats itself, and the engine drafts what repeats.
    """
    done = engine.chat("Write of the sea.", temperature=1, seed=1, max_tokens=_WRITTEN, ignore_eos=True)
    return (_WRITTEN - 1) / done.timings.decode_s


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m examples.half_depth",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--results", type=Path, default=RESULTS, help="where the tables are kept")
    steps = parser.add_subparsers(required=True)
    for name, run in (("train", _train), ("speed", _speed)):
        step = steps.add_parser(name)
        step.set_defaults(run=run)
        step.add_argument(
            "--model", default="smollm2-135m-instruct", help="the teacher, a GGUF file or its name"
        )
        step.add_argument("--out", type=Path, required=True, help="the folder of the student")
        step.add_argument("--threads", type=int, default=1)
    training = steps.choices["train"]
    training.add_argument("files", type=Path, nargs="+", help="texts and chats to learn from")
    training.add_argument("--tokens", type=int, default=300_000)
    training.add_argument("--step-tokens", type=int, default=1024)
    training.add_argument("--rate", type=float, default=1e-3, help="the highest learning rate")
    training.add_argument("--measured", type=int, default=_MEASURED_TOKENS, help="tokens held out to measure")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
