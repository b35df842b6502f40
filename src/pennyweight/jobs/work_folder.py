"""Folders that trainers work in: `<data>/tuning/<job>`, with a plan, checkpoints and a log.

All of it can be made again from the database and the blobs, but for the time it took to train.
"""

from __future__ import annotations

import json
import os
import shutil
from typing import TYPE_CHECKING, Any, Final

from pennyweight.store.durability import make_folder, place, storing

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from pathlib import Path

    from pennyweight.config import Settings

WORK_FOLDERS: Final = "tuning"
"""Where they are in the data folder."""
_PLAN: Final = "plan.json"


def machine_plan(settings: Settings) -> dict[str, Any]:
    """What every plan on this machine says."""
    cost = settings.hardware_per_hour
    return {
        "threads": settings.tuning_threads or 0,
        "weights": settings.weights,
        "dollars_per_hour": None if cost is None else float(cost),
    }


def lay_folder(root: Path, job_id: str, plan: Mapping[str, Any]) -> Path:
    """The folder of a job, ready for a trainer. A plan that is there stays: it is gone on with.

    Raises StorageFullError.
    """
    folder = root / job_id
    with storing():
        make_folder(folder)
        if not (folder / _PLAN).exists():
            work = folder / f"{_PLAN}.new"
            with work.open("w", encoding="utf-8") as file:
                json.dump(plan, file, indent=1)
                file.flush()
                os.fsync(file.fileno())
            place(work, folder / _PLAN)
    return folder


def sweep_folders(root: Path, under_way: Collection[str]) -> None:
    """Remove the folders of jobs that have ended."""
    if root.is_dir():
        for folder in root.iterdir():
            if folder.name not in under_way:
                shutil.rmtree(folder, ignore_errors=True)
