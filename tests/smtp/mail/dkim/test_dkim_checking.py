"""Signatures of others are checked right: those of the RFCs, and invalid ones."""

import base64
from pathlib import Path

import pytest
from servers.require import require_module

from pykka_smtp.smtp.mail.dkim.checking import Signed
from pykka_smtp.smtp.mail.dkim.record import KeyRecord, parse_record

require_module("cryptography")
from pykka_smtp.signals.signing.private_key import (  # noqa: E402
    GivenKey,
    PrivateKey,
    private_key,
    verifies,
)

MAILS = Path(__file__).with_name("mails")
RFC6376 = (MAILS / "rfc6376-a.eml").read_bytes()
RFC8463 = (MAILS / "rfc8463-a.eml").read_bytes()
BRISBANE_6376 = parse_record(
    "v=DKIM1; p=MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDwIRP/UC3SBsEmGqZ9ZJW3/DkMoGeLnQg1fWn7"
    "/zYtIxN2SnFCjxOCKG9v3b4jYfcTNh5ijSsq631uBItLa7od+v/RtdC2UzJ1lWT947qR+Rcac2gbto/NMqJ0fzfVj"
    "H4OuKhitdY9tf6mcwGjaNBcWToIMmPSPDdQPNUYckcQ2QIDAQAB"
)
BRISBANE = parse_record("v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=")
TEST = parse_record(
    "v=DKIM1; k=rsa; p=MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDkHlOQoBTzWRiGs5V6NpP3idY6Wk08a5q"
    "hdR6wy5bdOKb2jLQiY/J16JYi0Qvx/byYzCNb3W91y3FutACDfzwQ/BC/e/8uBsCR+yz1Lxj+PL6lHvqMKrM3rG4h"
    "stT5QjvHO9PzoxZyVYLzBfO2EeC3Ip3G+2kryOTIKT+l/K4w3QIDAQAB"
)
HEADER_CHANGED = "the header was changed after it was signed, or the key is another"
SEED = base64.b64decode("nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A=")


def flaws(data: bytes, *keys: KeyRecord) -> list[str | None]:
    signed = Signed(data)
    return [
        signed.flaw(signature, key, verifies)
        for signature, key in zip(signed.signatures(), keys, strict=True)
    ]


def test_the_signature_of_rfc_6376_is_good() -> None:
    assert flaws(RFC6376, BRISBANE_6376) == [None]


def test_the_signatures_of_rfc_8463_are_good() -> None:
    assert flaws(RFC8463, BRISBANE, TEST) == [None, None]


def test_the_key_of_rfc_8463_signs_as_it_says_there() -> None:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    key: PrivateKey = private_key(GivenKey(Ed25519PrivateKey.from_private_bytes(SEED)))
    signed = Signed(RFC8463)
    [by_ed25519, _] = signed.signatures()
    octets = signed._signed_fields(by_ed25519, "relaxed")

    assert key.public == BRISBANE
    assert key.sign(octets) == base64.b64decode("".join(by_ed25519.tags["b"].split()))


@pytest.mark.parametrize("data", [RFC6376, RFC8463], ids=["6376", "8463"])
def test_no_octet_of_what_is_signed_can_be_changed(data: bytes) -> None:
    keys = (BRISBANE_6376,) if data is RFC6376 else (BRISBANE, TEST)
    first_field = data.index(b"\nFrom:") + 1
    for position in range(first_field, len(data)):
        if data[position : position + 1] in (b" ", b"\n"):  # relaxed: it may become another
            continue
        changed = data[:position] + bytes([data[position] ^ 1]) + data[position + 1 :]

        assert None not in flaws(changed, *keys), data[position : position + 20]


def test_white_space_may_change_where_the_form_is_relaxed_and_not_where_it_is_simple() -> None:
    def wider(data: bytes) -> bytes:
        return data.replace(b"Subject: Is dinner", b"Subject:   Is\n dinner").replace(
            b"Joe.\n", b"Joe. \n\n\n"
        )

    assert flaws(wider(RFC8463), BRISBANE, TEST) == [None, None]
    assert flaws(wider(RFC6376), BRISBANE_6376) == [
        "the body was changed after it was signed",
    ]
    # Empty lines at the end do not count in either.
    assert flaws(RFC6376 + b"\n\n", BRISBANE_6376) == [None]


def test_a_field_that_h_covers_though_it_is_not_there_cannot_be_added() -> None:
    second = b"Subject: Another one\n" + RFC8463[RFC8463.index(b"From: Joe") :]
    data = RFC8463[: RFC8463.index(b"From: Joe")] + second

    assert flaws(data, BRISBANE, TEST) == [HEADER_CHANGED] * 2


@pytest.mark.parametrize(
    ("old", "new", "flaw"),
    [
        (b"v=1;", b"v=2;", "the signature has v='2', not v=1"),
        (b"a=ed25519-sha256;", b"a=rsa-sha1;", "the algorithm 'rsa-sha1' is not one of"),
        (b"c=relaxed/relaxed;", b"c=nofws/x;", "the form c='nofws/x' is unknown"),
        (b" d=football.example.com;", b"", "the signature has no d="),
        (b" d=football.example.com;", b" d=x.example.com;", "i= is not of the domain d="),
        (b"t=1528637909;", b"t=1; l=ten;", "l= is not a number"),
        (b"bh=2jUS", b"bh=!!!!", "bh= is not in base64"),
        (b"v=1;", b"v=1; v=1;", "the tag v= is there twice"),
        (b"v=1;", b"v=1; ???;", "not a tag: '???'"),
    ],
)
def test_a_signature_that_cannot_be_valid_says_why(old: bytes, new: bytes, flaw: str) -> None:
    assert old in RFC8463
    data = RFC8463.replace(old, new, 1)
    [first, _] = Signed(data).signatures()
    found = Signed(data).flaw(first, BRISBANE, verifies)

    assert found is not None
    assert found.startswith(flaw)


def test_a_signature_without_the_author_is_worth_nothing() -> None:
    data = RFC8463.replace(b"h=from : to :", b"h=to :", 1).replace(
        b"message-id : from :", b"x :", 1
    )
    [first, _] = Signed(data).signatures()

    assert first.problem == "From is not signed"


def test_a_revoked_key_and_one_of_another_kind_are_said_to_be_so() -> None:
    [first, _] = Signed(RFC8463).signatures()

    assert Signed(RFC8463).flaw(first, KeyRecord("ed25519", b""), verifies) == (
        "the key was revoked: the record has an empty p="
    )
    assert Signed(RFC8463).flaw(first, TEST, verifies) == (
        "it is ed25519-sha256, but the key is of the kind rsa"
    )


def test_of_a_thousand_signatures_some_are_looked_at() -> None:
    start = RFC8463[: RFC8463.index(b"DKIM-Signature: v=1; a=rsa")]

    assert len(Signed(start * 1000 + RFC8463).signatures()) == 20
