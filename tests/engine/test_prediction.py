"""Following a prediction, leaving it and finding back."""

from __future__ import annotations

from pennyweight.engine.prediction import NEAR, RESYNC_TOKENS, Prediction


def take(prediction: Prediction, *tokens: int) -> None:
    for token in tokens:
        prediction.accept(token)


def test_it_proposes_what_comes_next() -> None:
    prediction = Prediction((1, 2, 3, 4, 5))
    assert prediction.propose(3) == (1, 2, 3)
    take(prediction, 1, 2)
    assert prediction.propose(10) == (3, 4, 5)
    assert prediction.propose(0) == prediction.propose(-1) == ()


def test_it_is_silent_off_the_track_and_past_the_end() -> None:
    prediction = Prediction((1, 2, 3))
    take(prediction, 9)
    assert prediction.propose(3) == ()
    at_the_end = Prediction((1,))
    take(at_the_end, 1)
    assert at_the_end.propose(3) == ()
    assert Prediction(()).propose(3) == ()


def test_a_changed_token_costs_a_few() -> None:
    prediction = Prediction(tuple(range(20)))
    take(prediction, 0, 1, 99)
    assert prediction.propose(2) == ()
    take(prediction, 3)  # where the output would be, one token will do
    assert prediction.propose(2) == (4, 5)


def test_far_from_where_the_output_would_be_one_token_is_no_sign() -> None:
    prediction = Prediction(tuple(range(40)))
    take(prediction, 0, 1, 99, 3 + NEAR + 1, 3 + NEAR + 2)
    assert prediction.propose(2) == ()
    take(prediction, 3 + NEAR + 3)
    assert RESYNC_TOKENS == 3
    assert prediction.propose(2) == (3 + NEAR + 4, 3 + NEAR + 5)


def test_inserted_and_deleted_tokens_are_overcome() -> None:
    inserted = Prediction(tuple(range(20)))
    take(inserted, 0, 1, 50, 51, 2, 3, 4, 5)
    assert inserted.propose(1) == (6,)
    deleted = Prediction(tuple(range(20)))
    take(deleted, 0, 1, 10, 11, 12, 13)
    assert deleted.propose(1) == (14,)


def test_it_goes_on_where_the_output_would_be() -> None:
    prediction = Prediction((1, 2, 3, 4, 5, 1, 2, 3, 4, 6, 7, 8, 1, 2, 3, 4, 9))
    take(prediction, 1, 2, 3, 4, 5, 99, 1, 2, 3, 4)
    assert prediction.propose(1) == (6,)
    take(prediction, 50, 51, 1, 2, 3, 4)
    assert prediction.propose(1) == (9,)


def test_a_repetition_of_the_prediction_is_followed_again() -> None:
    prediction = Prediction((1, 2, 3, 4, 5, 6))
    take(prediction, 1, 2, 3, 4, 5, 6, 1, 2, 3, 4)
    assert prediction.propose(2) == (5, 6)
    take(prediction, 5, 6)
    assert prediction.num_accepted == 6


def test_what_the_output_holds_is_accepted() -> None:
    prediction = Prediction(tuple(range(20)))
    take(prediction, 0, 1, 99, 3, 4, 5, 6, 7)
    assert prediction.num_accepted == 2 + 4 + 1
    overlapping = Prediction((1, 2, 3, 4, 5, 6))
    take(overlapping, 1, 2, 9, 2, 3, 4, 5)
    assert overlapping.num_accepted == 5


def test_trust_follows_what_came() -> None:
    prediction = Prediction(tuple(range(40)))
    at_first = prediction.probability
    take(prediction, *range(10))
    assert prediction.probability > at_first
    take(prediction, 99)
    assert prediction.probability < at_first


def test_trust_remembers_how_often_it_was_disappointed() -> None:
    """Two predictions followed for as long since the last jump: the one left more often is trusted less."""
    steady, broken = Prediction(tuple(range(200))), Prediction(tuple(range(200)))
    take(steady, *range(61), 999, *range(62, 120))
    take(broken, *(999 if token % 10 == 1 and token < 70 else token for token in range(120)))
    assert 0.9 < broken.probability < steady.probability
