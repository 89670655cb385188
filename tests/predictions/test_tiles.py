"""The one pool of threads: blocks in their order, none piled up, the first before the others."""

import threading
from contextvars import ContextVar

import pytest

from bayes_clv.predictions.tiles import in_order


@pytest.mark.parametrize("threads", [1, 3])
def test_blocks_come_in_order_and_progress_counts_them(threads):
    seen = []
    found = list(
        in_order(lambda start: start, range(0, 25, 4), threads=threads, progress=lambda *n: seen.append(n))
    )
    assert found == [0, 4, 8, 12, 16, 20, 24]
    assert seen == [(4, 25), (8, 25), (12, 25), (16, 25), (20, 25), (24, 25), (25, 25)]


def test_the_first_block_is_computed_alone_by_the_callers_thread():
    others = []
    done = threading.Event()

    def block(start):
        if start == 0:
            assert not others
            done.set()
        else:
            assert done.is_set()
            others.append(threading.current_thread())
        return threading.current_thread()

    first, *rest = in_order(block, range(20), threads=2)
    assert first is threading.current_thread()
    assert first not in rest


def test_what_is_not_read_does_not_pile_up_and_a_closed_walk_computes_no_more():
    started = []
    walk = in_order(started.append, range(1000), threads=2)
    for _ in range(5):
        next(walk)
    # Five were read; at most five more wait or run: two for each thread and the one that is next.
    assert len(started) <= 10
    walk.close()
    assert len(started) <= 12


def test_nothing_to_do_is_no_block():
    assert list(in_order(lambda start: start, range(0), threads=2)) == []


@pytest.mark.parametrize(("threads", "before"), [(1, 0), (2, 1)])
def test_the_least_stands_for_the_first_block_alone(threads, before):
    done = []
    found = list(
        in_order(lambda start: start, range(0, 70, 10), threads=threads, least=lambda: done.append(1))
    )
    assert found == list(range(0, 70, 10))
    assert len(done) == before


def test_threads_are_in_the_callers_context():
    said = ContextVar("said", default="default")
    token = said.set("mine")
    try:
        assert list(in_order(lambda _: said.get(), range(6), threads=3)) == ["mine"] * 6
    finally:
        said.reset(token)
