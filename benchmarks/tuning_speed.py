"""Tuning beside the loop everybody writes: `transformers` and `peft` in float32, padded batches, all logits.

`python -m benchmarks.tuning_speed RECEIPTS.jsonl.gz MODEL.gguf` keeps what it finds in `results/tuning.json`.
Both train the same rank-16 adapter, from the same first values, on the same batches of receipts at the same
learning rates, and take turns step by step. Speed is useful tokens, those that are no padding, per second and
per second of processor time, which other work on the machine changes less. The last losses and one on
held-out receipts show that both learn the same. Needs the extra `tune` and `gguf`.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final

import peft
import torch
import transformers

from benchmarks.machine import describe_machine
from examples.receipts.chat import lesson
from examples.receipts.receipt import read_receipts
from pennyweight.tune.adapted import AdaptedModel
from pennyweight.tune.base_model import load_base
from pennyweight.tune.memory import keep_freed_memory
from pennyweight.tune.objective import Supervised
from pennyweight.tune.order import Order
from pennyweight.tune.packing import packs_of
from pennyweight.tune.plan import TuningPlan
from pennyweight.tune.precision import chosen_dtype, use_threads
from pennyweight.tune.preparation import prepare

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pennyweight.tune.group import Group
    from pennyweight.tune.preparation import Preparation

RESULTS: Final = Path(__file__).with_name("results") / "tuning.json"
_RANK, _ALPHA = 16, 32
_TARGETS: Final = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
_LAST: Final = 4  # steps whose mean loss is the last one told


class Plain:
    """The usual loop: a batch is padded to its longest example, the model computes the loss itself."""

    name = "transformers + peft, float32"

    def __init__(self, path: Path) -> None:
        network = transformers.AutoModelForCausalLM.from_pretrained(
            path.parent, gguf_file=path.name, dtype=torch.float32
        )
        config = peft.LoraConfig(
            task_type="CAUSAL_LM", r=_RANK, lora_alpha=_ALPHA, target_modules=list(_TARGETS)
        )
        self._model = peft.get_peft_model(network, config)
        self.parameters = {
            name.replace(".default", ""): value
            for name, value in self._model.named_parameters()
            if value.requires_grad
        }

    def gradients(self, groups: Sequence[Group]) -> float:
        loss = self._loss(groups)
        loss.backward()
        return float(loss)

    def loss(self, groups: Sequence[Group]) -> float:
        """The mean over learnt tokens of some groups, a batch at a time."""
        total = learnt = 0.0
        for start in range(0, len(groups), 2):
            batch = groups[start : start + 2]
            num_learnt = sum(group.num_learnt for group in batch)
            total += self._loss(batch).item() * num_learnt
            learnt += num_learnt
        return total / learnt

    def _loss(self, groups: Sequence[Group]) -> Any:
        sequences = [sequence for group in groups for sequence in group.sequences]
        longest = max(len(sequence.tokens) for sequence in sequences)
        tokens = torch.zeros(len(sequences), longest, dtype=torch.long)
        mask, labels = torch.zeros_like(tokens), torch.full_like(tokens, -100)
        for row, sequence in enumerate(sequences):
            length = len(sequence.tokens)
            tokens[row, :length] = torch.tensor(sequence.tokens)
            mask[row, :length] = 1
            for start, end in sequence.learnt:
                labels[row, start:end] = tokens[row, start:end]
        return self._model(input_ids=tokens, attention_mask=mask, labels=labels).loss


class Ours:
    """As `pennyweight.tune` computes it."""

    name = "Pennyweight"

    def __init__(self, prepared: Preparation) -> None:
        plan = prepared.plan
        dtype = chosen_dtype(plan.precision)
        base = load_base(plan.model, context=None, weights=None, dtype=dtype)
        self._model = AdaptedModel(base, rank=_RANK, alpha=_ALPHA, seed=0)
        self._pack_tokens = plan.pack_tokens
        self._objective = Supervised()
        self.name = f"Pennyweight, {str(dtype).removeprefix('torch.')}"
        self.parameters = self._model.parameters

    def gradients(self, groups: Sequence[Group]) -> float:
        return self._sum(groups, learn=True)

    def loss(self, groups: Sequence[Group]) -> float:
        return self._sum(groups, learn=False)

    def _sum(self, groups: Sequence[Group], *, learn: bool) -> float:
        total, weight = 0.0, self._objective.weight(groups)
        for pack in packs_of(groups, pack_tokens=self._pack_tokens):
            loss, tally = self._objective.loss(self._model, pack)
            if learn:
                (loss / weight).backward()
            total += tally.loss
        return total / weight


class Contender:
    """One of the two with its optimiser, and what was measured of it."""

    def __init__(self, learner: Plain | Ours) -> None:
        self.learner = learner
        self.speeds: list[float] = []
        self.cpu_speeds: list[float] = []
        self.losses: list[float] = []
        self._optimiser = torch.optim.AdamW(list(learner.parameters.values()), lr=0.0, weight_decay=0.0)

    def step(self, groups: Sequence[Group], rate: float) -> None:
        started, cpu = time.perf_counter(), time.process_time()
        self.losses.append(self.learner.gradients(groups))
        torch.nn.utils.clip_grad_norm_(self.learner.parameters.values(), 1.0)
        self._optimiser.param_groups[0]["lr"] = rate
        self._optimiser.step()
        self._optimiser.zero_grad(set_to_none=True)
        tokens = sum(group.num_tokens for group in groups)
        self.speeds.append(tokens / (time.perf_counter() - started))
        self.cpu_speeds.append(tokens / (time.process_time() - cpu))

    def told(self, held_out: Sequence[Group]) -> dict[str, Any]:
        with torch.no_grad():
            held_out_loss = self.learner.loss(held_out)
        return {
            "useful_tokens_per_s": self.speeds,
            "useful_tokens_per_cpu_s": self.cpu_speeds,
            "first_loss": self.losses[0],
            "last_loss": statistics.mean(self.losses[-_LAST:]),
            "held_out_loss": held_out_loss,
        }


def measure(
    receipts: Path, model: Path, *, steps: int, batch: int, held_out: int, threads: int
) -> dict[str, Any]:
    """Both contenders' figures, and of what."""
    keep_freed_memory()
    use_threads(threads)
    with TemporaryDirectory() as folder:
        prepared = _prepared(Path(folder), receipts, model, steps=steps, batch=batch, held_out=held_out)
    assert prepared.validation is not None
    plain, ours = Contender(Plain(model)), Contender(Ours(prepared))
    with torch.no_grad():
        for name, value in plain.learner.parameters.items():
            value.copy_(ours.learner.parameters[name])
    order = Order(prepared.training.groups, batch_size=batch, seed=0)
    for step in range(1, prepared.numbers.num_steps + 1):
        for contender in (plain, ours):
            contender.step(order.groups(step), prepared.numbers.rate(step))
        print(
            step,
            *(f"{one.learner.name} {one.speeds[-1]:.0f}/s {one.losses[-1]:.4f}" for one in (plain, ours)),
        )
    others = [group for groups in prepared.validation.groups for group in groups]
    learnt = sum(group.num_learnt for groups in prepared.training.groups for group in groups)
    return {
        "machine": describe_machine(),
        "model": model.name,
        "versions": {package.__name__: package.__version__ for package in (torch, transformers, peft)},
        "threads": torch.get_num_threads(),
        "batch": batch,
        "steps": prepared.numbers.num_steps,
        "tokens": prepared.training.num_tokens,
        "learnt_tokens": learnt,
        "contenders": {one.learner.name: one.told(others) for one in (plain, ours)},
    }


def _prepared(
    folder: Path, receipts: Path, model: Path, *, steps: int, batch: int, held_out: int
) -> Preparation:
    found = read_receipts(receipts)
    for part, most in (("train", steps * batch), ("dev", held_out)):
        lines = [json.dumps(lesson(receipt)) for receipt in found if receipt.part == part]
        (folder / part).write_text("\n".join(lines[:most]), encoding="utf-8")
    plan = TuningPlan(
        model=model,
        training_file=folder / "train",
        validation_file=folder / "dev",
        n_epochs=1,
        batch_size=batch,
    )
    return prepare(plan)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("receipts", type=Path)
    parser.add_argument("model", type=Path)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--held-out", type=int, default=20)
    parser.add_argument("--threads", type=int, default=0)
    asked = parser.parse_args()
    report = measure(
        asked.receipts,
        asked.model,
        steps=asked.steps,
        batch=asked.batch,
        held_out=asked.held_out,
        threads=asked.threads,
    )
    RESULTS.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(report["contenders"], indent=1))


if __name__ == "__main__":
    main()
