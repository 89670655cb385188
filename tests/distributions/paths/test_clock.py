"""The clock of futures: law's times of a batch are the calendar's, wherever a future starts and however time runs."""

import numpy as np

from bayes_clv.distributions.paths import room
from bayes_clv.distributions.paths.clock import clock, hurried, turn

DRAWS, KNOTS = 7, 40


def _uneven(rng):
    """Return knots of the law's time (draw, knot), whose pace changes by up to a thousand times, and the calendar's."""
    outer = np.arange(KNOTS + 1) - 10.0
    inner = np.cumsum(np.exp(rng.uniform(np.log(0.03), np.log(30), (DRAWS, KNOTS + 1))), axis=1)
    return inner - inner[:, 10, None], outer


def _turned(known, rows, times):
    """Return times (row, draw) of a batch after the clock has turned them."""
    count = rows.size * DRAWS
    space = room(rows.size, DRAWS)
    space.buyers.customer[:count] = np.repeat(np.arange(rows.size), DRAWS)
    space.buyers.draw[:count] = np.tile(np.arange(DRAWS), rows.size)
    space.batch.buyer[:count] = np.arange(count)
    space.batch.time[:count] = np.ravel(times)
    turn(known, space.buyers, rows.astype(np.uint32), space.batch, count)
    return space.batch.time[:count].reshape(rows.size, DRAWS)


def test_a_batch_is_turned_to_where_the_law_was():
    rng = np.random.default_rng(1)
    inner, outer = _uneven(rng)
    # Starts before and after now, repeated and unsorted, on knots and between them.
    starts = np.array([3.0, 0.0, 3.0, -4.5, 11.25])
    known, rows = clock(inner, outer, starts, 14.0), np.array([4, 0, 1, 3, 2, 0])
    calendar = np.array([14.0, 0.5, 3.0, 1e-9, 7.75, 13.999])
    assert known.begin.shape == (4, DRAWS)
    # Straight interpolation by NumPy, a draw at a time.
    for draw in range(DRAWS):
        by_hand = np.interp(starts[rows] + calendar, outer, inner[draw]) - np.interp(
            starts[rows], outer, inner[draw]
        )
        np.testing.assert_allclose(known.elapsed(rows, calendar)[:, draw], by_hand, rtol=1e-12, atol=1e-12)
    # Both the search's way up and its way down.
    np.testing.assert_allclose(
        _turned(known, rows, known.elapsed(rows, calendar)),
        np.tile(calendar[:, None], DRAWS),
        rtol=1e-9,
        atol=1e-9,
    )


def test_rows_of_a_clock_keep_their_starts():
    inner, outer = _uneven(np.random.default_rng(2))
    starts, rows = np.array([2.0, 5.5, 0.0, 5.5]), np.array([3, 2])
    known = clock(inner, outer, starts, 9.0)
    times = known.elapsed(rows, np.array([8.0, 9.0]))
    np.testing.assert_allclose(
        _turned(known.of(rows), np.array([0, 1]), times), [[8.0] * DRAWS, [9.0] * DRAWS], rtol=1e-9
    )


def test_a_window_between_knots_is_found_again():
    inner, outer = _uneven(np.random.default_rng(3))
    before = clock(inner, outer, np.zeros(1), 20.0)
    known = hurried(before, [(2.3, 2.4, np.full(DRAWS, 500.0)), (7.0, 11.5, np.full(DRAWS, 0.01))], 1, DRAWS)
    rows, calendar = np.zeros(6, dtype=int), np.array([2.29, 2.35, 2.41, 9.0, 11.6, 19.9])
    times = known.elapsed(rows, calendar)
    assert np.all(np.diff(times, axis=0) > 0)
    np.testing.assert_allclose(
        _turned(known, rows, times), np.tile(calendar[:, None], DRAWS), rtol=1e-9, atol=1e-9
    )
