"""kill -9, again and again: nothing is lost, and whatever may have been sent twice says so."""

from pathlib import Path

import pytest
from servers.effort import times

from benchmarks.kills import Tally, run_cycles


def judge(tally: Tally, connections: int) -> None:
    assert tally.drained, tally
    assert tally.is_whole, tally
    assert tally.promised > 0, tally
    assert (tally.lost, tally.never_heard, tally.heard_twice, tally.unflagged) == (0, 0, 0, 0)
    assert tally.most_doubled <= connections, tally  # by each kill


def test_a_program_that_is_killed_again_and_again_loses_nothing(tmp_path: Path) -> None:
    tally = run_cycles(tmp_path, cycles=3, connections=10, threads=10, longest=0.25)

    judge(tally, 10)
    assert tally.in_doubt == 0


@pytest.mark.long
@pytest.mark.parametrize("chunking", [False, True], ids=["DATA", "BDAT"])
@pytest.mark.parametrize("connections", [1, 10])
def test_nothing_is_lost_whenever_it_is_killed(
    tmp_path: Path, connections: int, chunking: bool
) -> None:
    judge(
        run_cycles(
            tmp_path,
            cycles=times(4, thoroughly=16),
            connections=connections,
            threads=10,
            chunking=chunking,
            seed=connections,
            latency=0.005,
        ),
        connections,
    )


@pytest.mark.long
def test_at_most_once_doubles_nothing_and_says_what_it_does_not_know(tmp_path: Path) -> None:
    tally = run_cycles(tmp_path, cycles=times(4, thoroughly=16), at_least_once=False, seed=3)

    assert tally.drained
    assert (tally.doubled, tally.lost, tally.never_heard, tally.heard_twice) == (0, 0, 0, 0)
