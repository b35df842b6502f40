"""The encoder's speed, and what eight bits cost it, on parallel questions and paragraphs (XQuAD, English).

  python -m benchmarks.embeddings speed          ours: texts and tokens a second
  python -m benchmarks.embeddings torch OUT.npy  the same model by `transformers` in float32, vectors kept
  python -m benchmarks.embeddings quality REF.npy  ours against those vectors: cosines and retrieval
  python -m benchmarks.embeddings streams        chat streams without and with embeddings beside them

`torch` does what sentence-transformers does: batches of 32 by falling length, padded, mean, unit length.
"""

from __future__ import annotations

import gzip
import json
import os
import sys
import threading
import time
from pathlib import Path
from typing import Any

WINDOW = 256
THREADS = 2
ROUNDS = 5


def texts(kind: str) -> list[str]:
    """English questions (short) or contexts (paragraphs)."""
    shared = Path(os.environ.get("PENNYWEIGHT_SHARED", Path(__file__).parents[2] / "shared"))
    key = "question" if kind == "questions" else "text"
    with gzip.open(shared / "data" / "xquad" / f"{kind}.jsonl.gz", "rt", encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    return [row.get(key) or row["context"] for row in rows if row["lang"] == "en"]


def speed() -> None:
    from pennyweight import Encoder

    with Encoder.open(threads=THREADS) as encoder:
        for kind in ("questions", "contexts"):
            inputs = texts(kind)
            encoder.embed(inputs[:50])
            seconds = []
            for _ in range(ROUNDS):
                start = time.perf_counter()
                result = encoder.embedder.embed(inputs)
                seconds.append(time.perf_counter() - start)
            _report(f"pennyweight, {kind}", len(inputs), result.num_tokens, seconds)


def with_torch(output: Path) -> None:
    import numpy as np
    import torch
    from transformers import AutoModel, AutoTokenizer

    from pennyweight.models.catalog import DEFAULT_ENCODER
    from pennyweight.models.local import resolve

    folder = resolve(DEFAULT_ENCODER).parent
    torch.set_num_threads(THREADS)
    model, tokenizer = AutoModel.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)

    def encode(inputs: list[str]) -> tuple[Any, int]:
        order = sorted(range(len(inputs)), key=lambda index: -len(inputs[index]))
        vectors, tokens = np.empty((len(inputs), model.config.hidden_size), np.float32), 0
        for first in range(0, len(order), 32):
            part = order[first : first + 32]
            batch = tokenizer(
                [inputs[i] for i in part],
                padding=True,
                truncation=True,
                max_length=WINDOW,
                return_tensors="pt",
            )
            with torch.inference_mode():
                states, mask = model(**batch).last_hidden_state, batch["attention_mask"][..., None]
                mean = (states * mask).sum(1) / mask.sum(1)
                vectors[part] = torch.nn.functional.normalize(mean, dim=1).numpy()
            tokens += int(mask.sum())
        return vectors, tokens

    kept = []
    for kind in ("contexts", "questions"):
        inputs = texts(kind)
        encode(inputs[:32])
        start = time.perf_counter()
        vectors, tokens = encode(inputs)
        _report(f"transformers, float32, {kind}", len(inputs), tokens, [time.perf_counter() - start])
        kept.append(vectors)
    np.save(output, np.concatenate(kept))


def quality(reference: Path) -> None:
    import numpy as np

    from pennyweight import Encoder

    contexts, questions = texts("contexts"), texts("questions")
    with Encoder.open(threads=THREADS) as encoder:
        one_window = [encoder.embedder.cut([text]).of_input == (1,) for text in contexts]
        own = np.array(encoder.embed(contexts) + encoder.embed(questions), np.float32)
    theirs = np.load(reference)
    comparable = np.array(one_window + [True] * len(questions))  # they cut what we split
    cosines = (own * theirs).sum(axis=1)[comparable]
    print(f"cosine: mean {cosines.mean():.6f}, lowest {cosines.min():.6f} ({len(cosines)} texts)")
    count = len(contexts)
    a, b = theirs[count:] @ theirs[:count].T, own[count:] @ own[:count].T
    top_a, top_b = np.argsort(-a, axis=1)[:, :10], np.argsort(-b, axis=1)[:, :10]
    overlap = np.mean([len({*x} & {*y}) / 10 for x, y in zip(top_a, top_b, strict=True)])
    print(f"nearest paragraph of a question the same: {(top_a[:, 0] == top_b[:, 0]).mean():.4f}; ", end="")
    print(f"of the ten nearest {overlap:.4f} shared")


def streams() -> None:
    from pennyweight import Engine

    with Engine.open(parallel=8, context=4096) as engine:
        engine.embed("warm up")
        for label, count, num_prompts, busy in (
            ("alone", 4, 0, False),
            ("beside embeddings", 4, 0, True),
            ("alone", 4, 0, False),
            ("beside embeddings", 4, 0, True),
            ("beside three long prompts", 1, 3, False),
            ("beside three long prompts and embeddings", 1, 3, True),
        ):
            stop, tokens = threading.Event(), [0]
            workers = [
                threading.Thread(target=_read_prompt, args=(engine, label, n)) for n in range(num_prompts)
            ]
            if busy:
                workers.append(threading.Thread(target=_embed_until, args=(engine, stop, tokens)))
            start = time.perf_counter()
            for worker in workers:
                worker.start()
            gaps = sorted(_chat(engine, count))
            seconds = time.perf_counter() - start
            stop.set()
            for worker in workers:
                worker.join()
            print(
                f"{label}: {len(gaps) / seconds:.0f} tokens/s in {count} streams, gap median "
                f"{1e3 * gaps[len(gaps) // 2]:.1f} ms, 99 % {1e3 * gaps[len(gaps) * 99 // 100]:.1f} ms; "
                f"{tokens[0] / seconds:.0f} embedded tokens/s"
            )


def _read_prompt(engine: Any, label: str, number: int) -> None:
    time.sleep(0.2 * (number + 1))
    words = " ".join(texts("contexts")[30 * number : 30 * number + 18])[:16000]
    engine.chat(f"{label}, {number}: {words}", max_tokens=4)


def _embed_until(engine: Any, stop: threading.Event, tokens: list[int]) -> None:
    inputs = texts("contexts")[:16]
    while not stop.is_set():
        tokens[0] += engine.encoder.open().embedder.embed(inputs).num_tokens


def _chat(engine: Any, count: int) -> list[float]:
    gaps: list[float] = []

    def one(number: int) -> None:
        last = None
        for _ in engine.stream(f"Tell a long story, number {number}.", max_tokens=250, ignore_eos=True):
            now = time.perf_counter()
            if last is not None:
                gaps.append(now - last)
            last = now

    threads = [threading.Thread(target=one, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return gaps


def _report(what: str, count: int, tokens: int, seconds: list[float]) -> None:
    best, middle = min(seconds), sorted(seconds)[len(seconds) // 2]
    print(
        f"{what}: {count} texts, {tokens} tokens; {count / middle:.0f} texts/s, {tokens / middle:.0f} ",
        end="",
    )
    print(f"tokens/s (median of {len(seconds)}; best {tokens / best:.0f})")


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["speed"]:
            speed()
        case ["torch", output]:
            with_torch(Path(output))
        case ["quality", reference]:
            quality(Path(reference))
        case ["streams"]:
            streams()
        case _:
            sys.exit(__doc__)
