"""The arithmetic of samples."""

from __future__ import annotations

import pytest

from benchmarks.samples import Figure, Sample, figure_of, percentile, summarise


def test_a_figure_is_the_median_with_its_extremes() -> None:
    assert figure_of([30.0, 10.0, 20.0]) == Figure(median=20.0, low=10.0, high=30.0, count=3)


def test_further_figures_count_where_every_sample_has_them() -> None:
    samples = [Sample(value=1.0, also={"a": 1.0, "b": 2.0}), Sample(value=3.0, also={"a": 3.0})]
    figure, also = summarise(samples)
    assert figure.median == 2.0
    assert also == {"a": Figure(median=2.0, low=1.0, high=3.0, count=2)}


def test_a_sample_survives_being_written_to_five_digits() -> None:
    sample = Sample(value=1234.56789, also={"share": 0.123456789})
    assert Sample.from_data(sample.to_data()) == Sample(value=1234.6, also={"share": 0.12346})


@pytest.mark.parametrize(
    ("count", "share", "expected"),
    [(100, 0.99, 99), (101, 0.99, 100), (10, 0.99, 10), (1, 0.5, 1), (4, 0.5, 2)],
)
def test_a_percentile_is_the_nearest_rank(count: int, share: float, expected: int) -> None:
    assert percentile([float(value) for value in range(count, 0, -1)], share) == expected
