"""The TXT record of a public key."""

import re

import pytest

from pykka_smtp.smtp.mail.dkim.record import (
    KeyRecord,
    parse_record,
    record_name,
    record_text,
    zone_line,
)
from pykka_smtp.smtp.mail.dkim.tag_list import TagListError


@pytest.mark.parametrize("record", [KeyRecord("rsa", bytes(294)), KeyRecord("ed25519", bytes(32))])
def test_a_record_says_its_key(record: KeyRecord) -> None:
    assert parse_record(record_text(record)) == record


def test_a_zone_file_has_strings_that_the_dns_can_hold() -> None:
    record = KeyRecord("rsa", bytes(range(256)) + bytes(38))
    line = zone_line("b.test", "2026", record)

    strings = re.findall(r'"([^"]*)"', line)
    assert line.startswith(f'{record_name("b.test", "2026")}. IN TXT ( "v=DKIM1; k=rsa; p=')
    assert len(strings) == 2
    assert max(map(len, strings)) <= 255
    assert parse_record("".join(strings)) == record


def test_a_short_one_needs_one_string() -> None:
    line = zone_line("b.test", "2026", KeyRecord("ed25519", bytes(32)))

    assert re.fullmatch(r'2026\._domainkey\.b\.test\. IN TXT "v=DKIM1; k=ed25519; p=A{43}="', line)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("v=spf1 -all", "v=spf1 -all, not v=DKIM1"),
        ("any words", "not a tag"),
        ("v=DKIM2; p=", "v=DKIM2"),
        ("v=DKIM1; k=rsa", "no p="),
        ("v=DKIM1; k=x; p=", "'x', not rsa or ed25519"),
        ("v=DKIM1; h=sha1; p=", "SHA-256"),
        ("v=DKIM1; s=tlsrpt; p=", "not for email"),
        ("v=DKIM1; p=a", "not in base64"),
        ("a=b;" * 200, "more than 100 tags"),
    ],
)
def test_what_is_no_record_of_a_key_is_said_to_be_none(text: str, problem: str) -> None:
    with pytest.raises(TagListError, match=problem):
        parse_record(text)


def test_what_a_record_says_besides_is_understood() -> None:
    record = parse_record(" v = DKIM1 ; t=s:y ; s=email ; h=sha1:sha256; n=some words; p = AA AA ;")

    assert record == KeyRecord("rsa", bytes(3), is_test=True)
    assert parse_record("p=").public_key == b""
