"""The URLs of outlets: their parts, and what errors say and show of them."""

import pytest

from pykka_smtp import Mailer, SmtpActor
from pykka_smtp.actors.options.relay_url import parse_relay_url


@pytest.mark.parametrize("url", ["record:", "RECORD:", "null:", "refuse://", "console:?alias=x"])
def test_some_outlets_have_nothing_but_a_name(url: str) -> None:
    relay = parse_relay_url(url)

    assert relay.outlet == relay.scheme == url.partition(":")[0].lower()
    assert (relay.host, relay.port, relay.path, relay.username) == ("", 0, None, None)


def test_a_folder_and_a_program_have_a_path() -> None:
    assert parse_relay_url("file:///srv/a%20b%3F").path == "/srv/a b?"
    relay = parse_relay_url("sendmail:///usr/sbin/sendmail?args=-x%20-O%20a=b&timeout=5")

    assert (relay.outlet, relay.path) == ("sendmail", "/usr/sbin/sendmail")
    assert relay.options == {"args": ("-x", "-O", "a=b"), "timeout": 5.0}


def test_a_server_is_no_outlet() -> None:
    assert parse_relay_url("smtp://h").outlet is None


@pytest.mark.parametrize(
    ("url", "flaw"),
    [
        ("record:x", "'record:x': needs nothing after the colon but options: record:"),
        ("null:///", "'null:///': needs nothing after the colon but options: null:"),
        ("file:", "'file:': needs only the folder's absolute path: file:///srv/outgoing"),
        ("file:srv", "'file:srv': needs only the folder's absolute path"),
        ("file:/srv", "'file:/srv': needs only the folder's absolute path"),
        ("file://srv/x", "'file://srv/x': needs only the folder's absolute path"),
        ("file:///", "'file:///': needs only the folder's absolute path"),
        ("sendmail://", "'sendmail://': needs only the program's absolute path"),
        ("file:///%00", "'file:///%00': the path has the control character U+0000"),
        ("file:///a%zz", "'file:///a%zz': the path has a \"%\" without two hexadecimal digits"),
        (f"file:///{'x' * 5000}", ": the path is longer than 4096 bytes"),
        ("sendmail:///x?args=", "'sendmail:///x...': the option args needs words, such as"),
        ("sendmail:///x?args=%0a", "the option args has the control character U+000A"),
        ("record:?tls=off", "unknown option 'tls'; known are timeout, deadline, alias, debug"),
        ("record:?args=x", "unknown option 'args'"),
        ("record:?debug=1&debug=1", "the option debug is given twice"),
        ("recrod:", ": unknown scheme; write smtp://host"),
    ],
)
def test_a_mistake_is_one_clear_line(url: str, flaw: str) -> None:
    with pytest.raises(ValueError, match=r"^relay URL") as caught:
        SmtpActor.start(url=url)

    assert flaw in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


def test_what_may_be_a_password_is_not_shown() -> None:
    for url in ("file://me:hunter2@h/x", "record:hunter2@h", "sendmail:///x?hunter2"):
        with pytest.raises(ValueError, match=r"^relay URL") as caught:
            Mailer.start("localhost", backups=[url])
        shown = str(caught.value).partition("unknown option")[0]
        assert "hunter2" not in shown
