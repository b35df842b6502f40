"""Power against work from energy counters, over a made-up tree of them and made-up processor times."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from pennyweight.config import Settings
from pennyweight.cost.machine import Machine
from pennyweight.cost.power_line import PowerLine
from pennyweight.cost.power_meter import FILE_NAME, PowerMeter, measured_power
from pennyweight.cost.rapl import Rapl

if TYPE_CHECKING:
    from pathlib import Path

ROUND_UJ = 5_000_000_000
IDLE, BUSY = 8.0, 20.0


class Board:
    """A processor with two zones that count, two that must not, and a clock."""

    def __init__(self, folder: Path) -> None:
        self.powercap, self.stat = folder / "powercap", folder / "stat"
        self.seconds = 0.0
        self.ticks = [0, 0]  # at work, idle
        names = {"intel-rapl:0": "package-0", "intel-rapl:0:0": "core", "intel-rapl:0:1": "dram"}
        for zone, name in (names | {"intel-rapl:1": "psys"}).items():
            (self.powercap / zone).mkdir(parents=True)
            (self.powercap / zone / "name").write_text(f"{name}\n")
            (self.powercap / zone / "max_energy_range_uj").write_text(f"{ROUND_UJ}\n")
            (self.powercap / zone / "energy_uj").write_text(f"{ROUND_UJ - 1000}\n")
        self._write_stat()

    def work(self, share: float, seconds: float = 10.0) -> None:
        """Time passes, with `share` of the cores at work; memory takes 2 W of the power."""
        watts = IDLE + (BUSY - IDLE) * share
        self.seconds += seconds
        for zone, used in (("0", watts - 2), ("0:1", 2.0), ("0:0", 99.0), ("1", 999.0)):
            path = self.powercap / f"intel-rapl:{zone}" / "energy_uj"
            path.write_text(str((int(path.read_text()) + round(1e6 * used * seconds)) % ROUND_UJ))
        self.ticks = [self.ticks[0] + round(1000 * share), self.ticks[1] + round(1000 * (1 - share))]
        self._write_stat()

    def meter(self, folder: Path) -> PowerMeter:
        rapl = Rapl.find(self.powercap)
        assert rapl is not None
        return PowerMeter(folder, rapl, stat=self.stat, clock=lambda: self.seconds)

    def _write_stat(self) -> None:
        busy, idle = self.ticks
        self.stat.write_text(f"cpu  {busy} 0 0 {idle - idle // 4} {idle // 4} 0 0 0 0 0\ncpu0 1 2 3 4\n")


@pytest.fixture
def board(tmp_path: Path) -> Board:
    return Board(tmp_path / "board")


def test_packages_and_memory_are_summed_and_counters_go_round(board: Board) -> None:
    rapl = Rapl.find(board.powercap)
    assert rapl is not None
    assert rapl.joules() == 0
    board.work(0.5)
    assert rapl.joules() == pytest.approx(140)
    board.work(0.0, seconds=300)
    assert rapl.joules() == pytest.approx(140 + 300 * IDLE)


def test_what_was_learned_is_kept_and_told(board: Board, tmp_path: Path) -> None:
    meter = board.meter(tmp_path)
    for number in range(20):
        board.work(number % 5 / 5)
        meter.sample()
    meter.write()
    assert measured_power(tmp_path) is None, "too few to tell"
    again = board.meter(tmp_path)
    for number in range(20):
        board.work(number % 5 / 5)
        again.sample()
    again.write()
    power = measured_power(tmp_path)
    assert power is not None
    assert (power.idle_watts, power.busy_watts) == (pytest.approx(IDLE, 1e-3), pytest.approx(BUSY, 1e-3))
    assert "RAPL" in power.method
    assert f"uncertain by {power.uncertainty_percent} %" in power.method
    assert power.uncertainty_percent in (5, 6)
    cost = Machine.of(Settings(), power).cost(cpu_s=60, span_s=3600)
    assert cost.joules == pytest.approx((BUSY - IDLE) * 60 / (os.cpu_count() or 1), rel=1e-3)


def test_a_machine_that_only_rests_tells_nothing_of_work() -> None:
    line = PowerLine()
    for number in range(100):
        line.add(share=0.01 * (number % 2), watts=IDLE)
    assert line.power() is None


def test_scatter_is_told_as_uncertainty() -> None:
    line = PowerLine()
    for number in range(100):
        line.add(share=number % 2, watts=IDLE + number % 2 * 10 + (5 if number % 4 < 2 else -5))
    power = line.power()
    assert power is not None
    assert 20 < power.uncertainty_percent < 40


def test_old_samples_fade() -> None:
    line = PowerLine()
    for _ in range(200_000):
        line.add(share=0.5, watts=1.0)
    assert line.num <= 100_001


def test_counters_that_are_not_there_or_not_ours(board: Board, tmp_path: Path) -> None:
    assert Rapl.find(tmp_path / "nowhere") is None
    for path in board.powercap.glob("*/energy_uj"):
        path.unlink()
    assert Rapl.find(board.powercap) is None


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"num": "x"}', '{"colour": 1}', '{"num": null}'])
def test_a_file_that_is_none_is_as_good_as_no_file(tmp_path: Path, text: str) -> None:
    (tmp_path / FILE_NAME).write_text(text)
    assert measured_power(tmp_path) is None


def test_a_meter_that_runs_keeps_what_it_learned_when_it_is_closed(board: Board, tmp_path: Path) -> None:
    meter = board.meter(tmp_path).start()
    board.work(1.0)
    meter.close()
    assert (tmp_path / FILE_NAME).exists()
    board.meter(tmp_path).close()
