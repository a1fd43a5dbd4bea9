import ctypes
import os
import threading

import pytest
from servers.waiting import PATIENCE

from pykka_smtp.signals import forks


@pytest.fixture(params=["page", "process id"])
def renewed(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was renewed, in a process of which nobody knows yet that it is a child."""
    said: list[str] = []
    monkeypatch.setattr(forks, "_renewals", [])
    monkeypatch.setattr(forks, "_known", -1)
    page = forks._new_page() if request.param == "page" else None
    if page is not None:
        page[0] = 0  # as the kernel does
    elif request.param == "page":
        pytest.skip("this system wipes no page in a child")
    monkeypatch.setattr(forks, "_page", page)
    forks.in_child(lambda: said.append("first"))
    forks.in_child(lambda: said.append("second"))
    return said


def test_where_nobody_has_forked_nothing_is_renewed(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(forks, "_renewals", [lambda: said.append("renewed")])

    assert not forks.notice_fork()
    assert said == []


def test_a_child_renews_everything_once_in_the_order_in_which_it_was_asked_for(
    renewed: list[str],
) -> None:
    assert forks.notice_fork()
    assert not forks.notice_fork()
    assert renewed == ["first", "second"]
    assert forks._known == os.getpid()


def test_a_renewal_that_asks_again_renews_nothing_twice(renewed: list[str]) -> None:
    forks.in_child(forks.notice_fork)

    assert forks.notice_fork()

    assert renewed == ["first", "second"]


def test_a_thread_of_the_child_waits_until_another_has_renewed_everything(
    renewed: list[str],
) -> None:
    begun, may_go_on, noticed = threading.Event(), threading.Event(), threading.Event()

    def take_time() -> None:
        begun.set()
        assert may_go_on.wait(PATIENCE)

    def notice() -> None:
        assert not forks.notice_fork()
        noticed.set()

    forks.in_child(take_time)
    threads = [threading.Thread(target=forks.notice_fork), threading.Thread(target=notice)]
    threads[0].start()
    assert begun.wait(PATIENCE)
    threads[1].start()

    assert not noticed.wait(0.05)

    may_go_on.set()
    assert noticed.wait(PATIENCE)
    for thread in threads:
        thread.join(PATIENCE)
    assert renewed == ["first", "second"]


def test_a_renewal_that_fails_does_not_keep_the_others_from_being_asked_for_the_next_time(
    renewed: list[str],
) -> None:
    def fail() -> None:
        raise LookupError("a bug")

    forks.in_child(fail)

    with pytest.raises(LookupError):
        forks.notice_fork()

    # Half a renewal for ever would be worse: what could be renewed is.
    assert not forks.notice_fork()
    assert renewed == ["first", "second"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_child_of_a_child_that_asked_for_nothing_in_between_is_a_child_all_the_same() -> None:
    libc = ctypes.CDLL(None)
    reading, writing = os.pipe()
    child = libc.fork()  # past Python: none of its hooks runs
    if child == 0:
        grandchild = libc.fork()
        if grandchild == 0:
            noticed = forks.notice_fork(), forks.notice_fork()
            os.write(writing, repr(noticed).encode())
            os._exit(0)
        os.waitpid(grandchild, 0)
        os._exit(0)
    os.close(writing)
    os.waitpid(child, 0)

    assert os.read(reading, 100) == b"(True, False)"
    os.close(reading)
    assert not forks.notice_fork()
