"""`python -m pennyweight.tune FOLDER`: train what the folder's `plan.json` says, or go on with it.

Output and exit codes are described in docs/tuning.md.
"""

from __future__ import annotations

import argparse
import os
import sys
import traceback
from pathlib import Path

from pennyweight.tune.memory import keep_freed_memory
from pennyweight.tune.processes import Processes
from pennyweight.tune.protocol import Events, StopSignal
from pennyweight.tune.work import FAILED, run

_NICE = 19  # the lowest priority: serving goes on


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m pennyweight.tune", description=__doc__)
    parser.add_argument("folder", type=Path, help="a work folder, which holds a plan.json")
    folder: Path = parser.parse_args().folder
    os.nice(_NICE)
    # Read when torch is loaded: its threads sleep while they wait. Beside others on the same cores, threads
    # that spin hold up the one they wait for (0.27 s of processor time against 1.21, a quarter of the wall
    # time).
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    keep_freed_memory()
    processes = Processes()
    events = Events.on_standard_output() if processes.is_first else Events(None)
    stop = StopSignal(events)
    try:
        return run(folder, events, stop, processes)
    except Exception as error:  # the edge of the process: whoever started it learns of it in its own way
        traceback.print_exc()
        events.tell("failed", code="internal_error", message=f"{type(error).__name__}: {error}", step=0)
        return FAILED


if __name__ == "__main__":
    sys.exit(main())
