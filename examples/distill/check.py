"""The checker as a program: `penny distill --check "python -m examples.distill.check"` runs it.

It reads one JSON object per line, `{"messages": [...], "answer": "..."}`, and writes a line for each: 1 keeps
the answer, 0 drops it.
"""

from __future__ import annotations

import json
import sys

from examples.distill.task import Task


def main() -> None:
    """Judge what comes until nothing comes any more."""
    for line in sys.stdin:
        entry = json.loads(line)
        task = Task.of(entry["messages"][-1]["content"])
        print(int(task.check(entry["answer"])), flush=True)


if __name__ == "__main__":
    main()
