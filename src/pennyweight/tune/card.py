"""The card of an adapter: what it was made of, how, and what it cost; Markdown with PEFT's front matter."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pennyweight.tune.preparation import Preparation


def card(
    prepared: Preparation,
    *,
    base: str,
    step: int,
    metrics: Mapping[str, float],
    trained_tokens: int,
    seconds: float,
    cpu_s: float,
) -> str:
    """Text of a README.md."""
    plan, numbers = prepared.plan, prepared.numbers
    rows = {
        "base model": base,
        "method": plan.method,
        "training file, SHA-256": f"`{prepared.training.sha256}`",
        "validation file, SHA-256": "none"
        if prepared.validation is None
        else f"`{prepared.validation.sha256}`",
        "examples": str(len(prepared.training.groups)),
        "epochs": str(numbers.n_epochs),
        "batch size": str(numbers.batch_size),
        "learning rate": f"{numbers.learning_rate:.3g} (multiplier {numbers.learning_rate_multiplier:g})",
        "LoRA": f"rank {plan.lora_rank}, alpha {plan.lora_alpha}, all linear layers",
        "seed": str(plan.seed),
        "step": f"{step} of {numbers.num_steps}",
        "tokens trained": str(trained_tokens),
        "minutes": f"{seconds / 60:.1f}",
        "processor minutes": f"{cpu_s / 60:.1f}",
    }
    if plan.method != "supervised":
        rows["beta"] = f"{numbers.beta:g}"
    if plan.method == "grpo":
        rows["answers to a prompt"] = f"{numbers.group_size}, of at most {numbers.max_answer_tokens} tokens"
        rows["reward"] = f"`{plan.reward_command}`"
    if plan.dollars_per_hour is not None:
        rows["cost"] = f"${seconds / 3600 * plan.dollars_per_hour:.4f}"
    rows |= {name.replace("_", " "): f"{value:.4f}" for name, value in metrics.items()}
    table = "\n".join(f"| {name} | {value} |" for name, value in rows.items())
    front = f"---\nbase_model: {base}\nlibrary_name: peft\npipeline_tag: text-generation\n---\n"
    return f"{front}\n# A LoRA adapter, trained by Pennyweight\n\n| | |\n|---|---|\n{table}\n"
