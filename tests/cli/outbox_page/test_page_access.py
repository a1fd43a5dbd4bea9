"""Who may see the operator's page."""

import pytest

from pykka_smtp.cli.outbox_page.access import Access, is_loopback, made_token


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1:8025", True),
        ("localhost", True),
        ("LOCALHOST:1", True),
        ("[::1]:8025", True),
        ("192.0.2.7:8025", True),
        ("outbox.test", True),
        ("outbox.test.attacker.example", False),
        ("attacker.example:8025", False),
        ("127.0.0.1.attacker.example", False),
        ("localhost.attacker.example", False),
        ("", False),
        (None, False),
    ],
)
def test_a_name_that_leads_here_but_is_not_ours_is_seen_through(
    host: str | None, expected: bool
) -> None:
    assert Access(None, {"Outbox.test"}).is_own_name(host) is expected


def test_without_a_token_everybody_who_can_connect_is_let_in() -> None:
    assert Access(None).is_let_in(None, "outbox-1")
    assert Access(None).log_in("anything") is None


def test_the_token_is_exchanged_for_a_session_that_is_not_the_token() -> None:
    token = made_token()
    access = Access(token)

    session = access.log_in(token)

    assert session is not None
    assert token not in session
    assert access.is_let_in(f"other=1; outbox-1={session}", "outbox-1")
    for cookies in (None, "", f"outbox-2={session}", f"outbox-1={token}", "outbox-1=", "\x00"):
        assert not access.is_let_in(cookies, "outbox-1")
    assert access.log_in(token[:-1]) is None
    assert access.log_in("ünlikely") is None


def test_a_session_ends_after_twelve_hours() -> None:
    clock = Clock()
    access = Access("a-token-of-some-length", clock=clock)
    cookie = f"n={access.log_in('a-token-of-some-length')}"
    clock.now = 12 * 3600 - 1
    assert access.is_let_in(cookie, "n")
    clock.now += 1

    assert not access.is_let_in(cookie, "n")


def test_there_are_a_hundred_sessions_at_most_and_the_oldest_goes() -> None:
    access = Access("a-token-of-some-length")
    sessions = [access.log_in("a-token-of-some-length") for _ in range(101)]

    assert [access.is_let_in(f"n={session}", "n") for session in sessions] == [False, *[True] * 100]


def test_the_token_is_in_no_repr() -> None:
    assert "a-token-of-some-length" not in repr(Access("a-token-of-some-length"))


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "localhost"])
def test_this_machine_is_this_machine(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "", "mail.example.org"])
def test_what_others_can_reach_is_not(host: str) -> None:
    assert not is_loopback(host)
