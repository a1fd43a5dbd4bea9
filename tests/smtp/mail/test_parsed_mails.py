"""Mails that a program has parsed, and sends on: they go out as they were.

The mails in ``mails/`` are our own. Each has something that programs, or the standard library,
have changed, broken or not survived.
"""

import email
import email.policy
from email.message import Message
from pathlib import Path
from typing import Any

from servers.parsed import MAILS, POLICIES, mails, mails_but, policies

from pykka_smtp import SendMail
from pykka_smtp.smtp.mail.content import CompleteContent

# What comes out otherwise, and why.
WRITTEN_ANEW = {
    "raw-filename.eml": "UTF-8 in the header, which only SMTPUTF8 permits",
    "raw-latin1-header.eml": "8-bit text in the header, which nothing permits",
    "raw-utf8-header.eml": "UTF-8 in the header, which only SMTPUTF8 permits",
    "utf8-address.eml": "UTF-8 in display names, beside addresses that need it",
}
LOST_BY_THE_PARSER = {
    "no-multipart-end.eml": "the generator ends what was cut off",
    "odd-folding.eml": "the parser drops white space before a value",
}


def parsed(path: Path, policy: Any) -> "Message[Any, Any]":
    return email.message_from_bytes(path.read_bytes(), policy=policy)


def content(message: object) -> CompleteContent:
    made = SendMail(sender="a@b.test", recipients="c@d.test", message=message).content  # type: ignore[arg-type]
    assert isinstance(made, CompleteContent)
    return made


def as_lf(data: bytes) -> bytes:
    assert data.count(b"\n") == data.count(b"\r\n") == data.count(b"\r")
    return data.replace(b"\r\n", b"\n")


def test_there_are_twenty_mails() -> None:
    assert len(MAILS) >= 20


@policies
@mails_but(*WRITTEN_ANEW, *LOST_BY_THE_PARSER)
def test_a_parsed_mail_goes_out_octet_for_octet(path: Path, policy: Any) -> None:
    assert as_lf(content(parsed(path, policy)).data) == path.read_bytes()


@policies
@mails_but("raw-latin1-header.eml")  # nobody knows how it reads
def test_a_parsed_mail_reads_as_it_did(path: Path, policy: Any) -> None:
    before = email.message_from_bytes(path.read_bytes(), policy=email.policy.default)
    after = email.message_from_bytes(
        as_lf(content(parsed(path, policy)).data), policy=email.policy.default
    )

    for one, other in zip(before.walk(), after.walk(), strict=True):
        assert [(name, str(one[name])) for name in one] == [
            (name, str(other[name])) for name in other
        ]
        if not one.is_multipart() and path.name != "no-multipart-end.eml":
            assert one.get_payload(decode=True) == other.get_payload(decode=True)


@policies
@mails
def test_a_parsed_mail_has_a_form_in_ascii_of_the_same_text(path: Path, policy: Any) -> None:
    made = content(parsed(path, policy))
    if made.is_signed or made.needs_smtputf8:
        assert made.seven_bit is None
        return
    data = made.render(eight_bit=False).data
    assert data is not None
    assert data.isascii()
    before = email.message_from_bytes(as_lf(made.data))
    after = email.message_from_bytes(as_lf(data))
    for one, other in zip(before.walk(), after.walk(), strict=True):
        if not one.is_multipart():
            assert _text(one) == _text(other)


def _text(part: "Message[Any, Any]") -> bytes:
    text = part.get_payload(decode=True)
    assert isinstance(text, bytes)
    return text.replace(b"\r\n", b"\n")


@mails
def test_only_an_address_needs_smtputf8(path: Path) -> None:
    for policy in POLICIES.values():
        assert content(parsed(path, policy)).needs_smtputf8 is (path.name == "utf8-address.eml")


@policies
@mails
def test_the_program_s_object_is_not_touched(path: Path, policy: Any) -> None:
    message, untouched = parsed(path, policy), parsed(path, policy)
    content(message)

    def state(of: "Message[Any, Any]") -> object:
        return [
            (part.policy, list(part.raw_items()), part.get_payload() if i else None)
            for i, part in enumerate(of.walk())
            if not part.is_multipart()
        ]

    assert state(message) == state(untouched)
    assert all(part.policy is policy for part in message.walk())
