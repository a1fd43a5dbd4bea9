"""What a real server has stored of an email object, after a real send: it is what went in."""

import email
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email.message import Message
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from servers.dkim_signatures import signable, signature, verifies
from servers.effort import times
from servers.parsed import MAILS, POLICIES, policies
from servers.random_mails import leaves_of, trees
from servers.sink import AiosmtpdServer
from servers.waiting import PATIENCE

from pykka_smtp import Mailer, SendMail, SendSuccess

Start = Callable[..., AiosmtpdServer]

AS_IT_WAS = [
    path
    for path in MAILS
    # What comes out otherwise, and why, says test_parsed_mails.py.
    if not path.stem.startswith("raw-")
    and path.stem not in ("utf8-address", "no-multipart-end", "odd-folding")
]


@contextmanager
def storing(server: AiosmtpdServer, **options: Any) -> Iterator[Callable[[object], bytes]]:
    """Give a function that sends an email, and returns what the server has stored of it."""
    mailer = Mailer.start(server.host, server.port, tls="off", timeout=PATIENCE, **options)

    def store(message: object) -> bytes:
        mail = SendMail(sender="a@b.test", recipients="c@d.test", message=message)  # type: ignore[arg-type]
        outcome = mailer.ask(mail, timeout=PATIENCE)
        assert isinstance(outcome, SendSuccess), outcome
        return server.mails[-1].data

    try:
        yield store
    finally:
        mailer.stop()


def parsed(data: bytes, policy: Any) -> "Message[Any, Any]":
    return email.message_from_bytes(data, policy=policy)


@pytest.mark.parametrize("without", [(), ("8BITMIME",)], ids=["8 bit", "7 bit"])
def test_random_trees_are_stored_as_they_went_in(
    aiosmtpd_server: Start, without: tuple[str, ...]
) -> None:
    with storing(aiosmtpd_server(), without=without) as store:

        @settings(max_examples=times(15, thoroughly=150))
        @given(trees())
        def send_by_each_policy(tree: "Message[Any, Any]") -> None:
            for policy in POLICIES.values():
                tree.policy = policy
                stored = store(tree)

                assert stored.isascii() or not without
                assert leaves_of(parsed(stored, email.policy.default)) == leaves_of(tree)

        send_by_each_policy()


@policies
def test_parsed_mails_are_stored_octet_for_octet(aiosmtpd_server: Start, policy: Any) -> None:
    assert len(AS_IT_WAS) >= 15
    with storing(aiosmtpd_server(enable_SMTPUTF8=True)) as store:
        for path in AS_IT_WAS:
            stored = store(parsed(path.read_bytes(), policy))
            # On the wire, the last line has an end as well (RFC 5321 §4.1.1.4).
            expected = path.read_bytes().removesuffix(b"\n") + b"\n"
            assert stored.replace(b"\r\n", b"\n") == expected, path.name


@policies
def test_the_other_mails_are_stored_with_the_text_that_they_had(
    aiosmtpd_server: Start, policy: Any
) -> None:
    with storing(aiosmtpd_server(enable_SMTPUTF8=True)) as store:
        for path in set(MAILS) - set(AS_IT_WAS):
            before = parsed(path.read_bytes(), email.policy.default)
            stored = parsed(store(parsed(path.read_bytes(), policy)), email.policy.default)
            assert leaves_of(stored) == leaves_of(before), path.name


@policies
@signable
def test_a_dkim_signature_verifies_in_what_is_stored(
    aiosmtpd_server: Start, path: Path, form: bytes, policy: Any
) -> None:
    data = path.read_bytes().replace(b"\n", b"\r\n")
    signed = signature(data, form) + data

    with storing(aiosmtpd_server(enable_SMTPUTF8=True)) as store:
        assert verifies(store(parsed(signed, policy)))
