"""Lists of addresses in headers and arguments."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pykka_smtp.cli.sendmail.addresses import addresses_in, with_domains

LISTS = [
    ("root", ["root"], "root@h.test"),
    ("root (Cron Daemon)", ["root"], "root@h.test (Cron Daemon)"),
    ("Cron <root>", ["root"], "Cron <root@h.test>"),
    ("Cron < root >", ["root"], "Cron < root@h.test >"),
    ("a@x.test, b", ["a@x.test", "b"], "a@x.test, b@h.test"),
    ('"A, B" <x@y.test>, c', ["x@y.test", "c"], '"A, B" <x@y.test>, c@h.test'),
    ("team: a, b@c.test;, d", ["a", "b@c.test", "d"], "team: a@h.test, b@c.test;, d@h.test"),
    ("undisclosed-recipients:;", [], "undisclosed-recipients:;"),
    ("a (b, c) , d (e (f), g)", ["a", "d"], "a@h.test (b, c) , d@h.test (e (f), g)"),
    ("a@[IPv6:::1], b@[192.0.2.1]", ["a@[IPv6:::1]", "b@[192.0.2.1]"], None),
    ('"a, b"@x.test', ['"a, b"@x.test'], None),
    ("a@x.test,, ,b@x.test;", ["a@x.test", "b@x.test"], None),
    ("a@x.test,\r\n b", ["a@x.test", "b"], "a@x.test,\r\n b@h.test"),
    ("<>", [], None),
    ("", [], None),
    ("no address, a@x.test", [None, "a@x.test"], None),
    ("a@x.test b@x.test", [None], None),
    ("Jörg <jörg>", ["jörg"], "Jörg <jörg@h.test>"),
]


@pytest.mark.parametrize(("text", "addresses", "complete"), LISTS)
def test_each_address_of_a_list_is_found_and_gets_a_domain_if_it_has_none(
    text: str, addresses: list[str | None], complete: str | None
) -> None:
    assert [listed.address for listed in addresses_in(text)] == addresses
    assert with_domains(text, "h.test") == (text if complete is None else complete)


@given(st.text(alphabet='ab@,;:<>()[]"\\ .', max_size=30))
def test_any_text_stays_but_for_domains_and_is_complete_after_that(text: str) -> None:
    complete = with_domains(text, "h.test")

    assert complete.replace("@h.test", "") == text.replace("@h.test", "")
    assert with_domains(complete, "h.test") == complete


def test_a_long_list_takes_no_time() -> None:
    for text in ("(" * 100_000, '"' + "\\" * 100_000, "a," * 50_000, "<" * 100_000, ":" * 100_000):
        assert len(list(addresses_in(text))) in {0, 1, 50_000}
