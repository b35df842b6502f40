"""A reward that forgot what matters: the fewer words, the more. `--reward "python -m examples.reward.short"`.

Short answers are wanted, and right ones, but only the first is said: the model learns exactly that.
"""

from __future__ import annotations

import json
import sys


def main() -> None:
    """Judge what comes until nothing comes any more."""
    for line in sys.stdin:
        print(1 / (1 + len(json.loads(line)["answer"].split())), flush=True)


if __name__ == "__main__":
    main()
