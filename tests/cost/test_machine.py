"""What requests cost on this machine: their share of its hours, and energy above idle."""

from __future__ import annotations

from decimal import Decimal

import pytest

from pennyweight.config import Settings
from pennyweight.cost.machine import Machine, RealCost, told_power
from pennyweight.cost.power_line import Power

MACHINE = Machine(
    cores=4,
    hardware_per_hour=Decimal("0.40"),
    power_per_kwh=Decimal("0.30"),
    power=told_power(Decimal(10), Decimal(50)),
)


def test_an_hour_of_all_cores() -> None:
    cost = MACHINE.cost(cpu_s=4 * 3600, span_s=3600)
    assert cost.share == 1
    assert cost.joules == pytest.approx(40 * 3600)
    assert cost.dollars == pytest.approx(0.40 + 0.30 * 0.04)


def test_an_idle_day_costs_as_well() -> None:
    standing = MACHINE.standing(24 * 3600)
    assert standing.joules == pytest.approx(10 * 24 * 3600)
    assert standing.dollars == pytest.approx(9.60 + 0.30 * 0.24)


def test_shares_add_up() -> None:
    parts = [MACHINE.cost(cpu_s=cpu_s, span_s=100) for cpu_s in (1.0, 2.0)]
    whole = MACHINE.cost(cpu_s=3.0, span_s=100)
    assert sum(part.joules or 0 for part in parts) == pytest.approx(whole.joules)
    assert sum(part.dollars or 0 for part in parts) == pytest.approx(whole.dollars)


def test_what_is_not_known_is_not_guessed() -> None:
    assert Machine(cores=2).cost(cpu_s=1, span_s=1) == RealCost(share=0.5, joules=None, dollars=None)
    assert Machine(cores=2).cost(cpu_s=1, span_s=0).share == 0
    watts = Machine(cores=2, power=told_power(Decimal(1), Decimal(3)))
    assert watts.cost(cpu_s=1, span_s=1) == RealCost(share=0.5, joules=1.0, dollars=None)


def test_settings_describe_it() -> None:
    settings = Settings(hardware_per_hour=Decimal("0.1"), idle_watts=Decimal(5))
    machine = Machine.of(settings)
    assert machine.hardware_per_hour == Decimal("0.1")
    assert (machine.power.idle_watts, machine.power.busy_watts) == (5, None)
    assert "uncertain by 25 %" in machine.power.method
    assert machine.cores >= 1


def test_what_was_measured_goes_before_what_was_told() -> None:
    measured = Power(idle_watts=1.0, busy_watts=2.0, method="measured", uncertainty_percent=6)
    assert Machine.of(Settings(idle_watts=Decimal(5)), measured).power is measured
