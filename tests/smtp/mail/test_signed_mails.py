"""Signatures hold: of DKIM, made and verified by dkimpy, and of multipart/signed."""

import email
import email.policy
from email.message import EmailMessage, Message
from email.mime.multipart import MIMEMultipart
from email.mime.text import MIMEText
from pathlib import Path
from typing import Any

import pytest
from conversations.rig import Rig
from servers.dkim_signatures import FORMS, signable, signature, verifies
from servers.parsed import POLICIES, policies

from pykka_smtp import SendMail
from pykka_smtp.smtp.mail.content import CompleteContent
from pykka_smtp.smtp.words.verdict import Failed, FailureKind


def content(message: object, **given: Any) -> CompleteContent:
    made = SendMail(sender="a@b.test", recipients="c@d.test", message=message, **given).content  # type: ignore[arg-type]
    assert isinstance(made, CompleteContent)
    return made


@policies
@signable
def test_a_parsed_mail_s_dkim_signature_still_verifies(
    path: Path, form: bytes, policy: Any
) -> None:
    data = path.read_bytes().replace(b"\n", b"\r\n")
    signed = signature(data, form) + data
    assert verifies(signed)

    made = content(email.message_from_bytes(signed, policy=policy))

    assert verifies(made.data)
    assert made.is_signed
    assert made.seven_bit is None


@pytest.mark.parametrize(
    ("policy", "form"),
    [
        pytest.param(policy, form, id=f"{name}-{form.decode()}")
        for name, policy in POLICIES.items()
        for form in FORMS
        # The others take one line only: the signature's own lines are lost.
        if name == "compat32" or form == b"relaxed"
    ],
)
def test_what_a_program_has_signed_verifies_as_it_is_sent(form: bytes, policy: Any) -> None:
    message: Message[Any, Any]
    if policy is email.policy.compat32:
        message = MIMEMultipart()
        message.attach(MIMEText("Gr\u00fc\u00dfe\n", "plain", "utf-8"))
    else:
        message = EmailMessage(policy=policy)
        message.set_content("Gr\u00fc\u00dfe\n")
        message.add_attachment(b"x", maintype="a", subtype="b", filename="\u00fc" * 30)
    message["From"] = (
        "J\u00f6rg, the <a@b.test>"
        if message.policy.__class__ is not type(email.policy.compat32)
        else "a@b.test"
    )
    message["Subject"] = "Gr\u00fc\u00dfe, " * 12
    message["To"] = "c@d.test"
    wire = message.as_bytes(policy=policy.clone(linesep="\r\n"))
    line = signature(wire, form)
    name, _, value = line.decode().partition(": ")
    if policy is not email.policy.compat32:
        value = value.replace("\r\n", "")  # these take one line only
    message[name] = value

    assert verifies(content(message).data)


def test_a_signed_mail_gets_no_field() -> None:
    for name in ("DKIM-Signature", "ARC-Seal"):
        message = email.message_from_bytes(f"From: a@b.test\n{name}: a=b\n\nx\n".encode())
        assert content(message).data == f"From: a@b.test\r\n{name}: a=b\r\n\r\nx\r\n".encode()


def told(message: object, *extensions: str) -> Failed | None:
    rig = Rig("c@d.test", content=content(message)).connect()
    rig.hear(b"220 mx.test\r\n")
    rig.line()
    lines = ["mx.test", *extensions]
    rig.hear("".join(f"250-{line}\r\n" for line in lines[:-1]).encode())
    rig.hear(f"250 {lines[-1]}\r\n".encode())
    if rig.verdict is None:
        rig.line()
        return None
    assert isinstance(rig.verdict, Failed)
    return rig.verdict


EIGHT_BIT_PARTS = (
    b"From: a@b.test\nMIME-Version: 1.0\n",
    b"Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n\n\xc3\xbc\n",
)
BY_DKIM = EIGHT_BIT_PARTS[0] + b"DKIM-Signature: v=1; a=x\n" + EIGHT_BIT_PARTS[1]
BY_PGP = (
    EIGHT_BIT_PARTS[0]
    + b"Content-Type: multipart/signed; boundary=s\n\n--s\n"
    + EIGHT_BIT_PARTS[1]
    + b"\n--s\nContent-Type: application/pgp-signature\n\nx\n--s--\n"
)
WITHIN = (
    EIGHT_BIT_PARTS[0]
    + b"Content-Type: multipart/mixed; boundary=m\n\n--m\n"
    + BY_PGP.partition(b"1.0\n")[2]
    + b"\n--m--\n"
)


@policies
@pytest.mark.parametrize("raw", [BY_DKIM, BY_PGP, WITHIN], ids=["dkim", "pgp", "within"])
def test_what_is_signed_is_not_encoded_for_a_server_without_8bitmime(
    raw: bytes, policy: Any
) -> None:
    message = email.message_from_bytes(raw, policy=policy)

    failed = told(message, "SIZE")
    assert failed is not None
    assert failed.kind is FailureKind.LOCAL
    assert failed.detail.endswith(
        "takes no 8-bit mail (no 8BITMIME); the email is signed; encode it to 7 bits before it is"
        " signed"
    )
    assert content(message).data.count(b"\xc3\xbc\r\n") == 1


def test_utf_8_in_the_header_of_what_is_signed_stays_and_needs_smtputf8() -> None:
    raw = "From: Zo\u00eb <a@b.test>\nDKIM-Signature: v=1; a=x\n\nx\n".encode()
    for policy in POLICIES.values():
        message = email.message_from_bytes(raw, policy=policy)
        made = content(message)

        assert made.data == raw.replace(b"\n", b"\r\n")
        assert made.needs_smtputf8
        failed = told(message, "8BITMIME")
        assert failed is not None
        assert failed.kind is FailureKind.LOCAL
        assert "takes no UTF-8 in the header (no SMTPUTF8); the email is signed" in failed.detail


def test_fields_within_what_is_signed_stay_as_they_are() -> None:
    within = b"X-Raw: Gr\xc3\xbc\xc3\x9fe, \xff, and it is" + b" a line that is too long" * 5
    raw = BY_PGP.replace(b"--s\nContent-Type: text", b"--s\n" + within + b"\nContent-Type: text")
    for policy in POLICIES.values():
        made = content(email.message_from_bytes(raw, policy=policy))
        assert within in made.data


def test_a_program_s_own_signed_part_is_written_as_the_library_writes_it() -> None:
    part = EmailMessage(policy=email.policy.SMTP)
    part.set_content("x\n", params={"x" * 80: "y"})
    part["X-Long"] = "\u00fc " * 60
    message = MIMEMultipart("signed", boundary="s", policy=email.policy.SMTP)
    message.attach(part)
    message["From"] = "a@b.test"

    unfolded = part.policy.clone(max_line_length=0)
    expected = b"".join(unfolded.fold_binary(name, value) for name, value in part.raw_items())
    assert b"--s\r\n" + expected + b"\r\nx\r\n" in content(message).data


@pytest.mark.timeout(20)
def test_not_even_a_signed_object_hangs() -> None:
    for width in (78, 30, 1):
        message = EmailMessage(policy=email.policy.default.clone(max_line_length=width))
        message.set_content("x\n", params={"x" * 80: "y" * 80})
        message["Subject"] = "Gr\u00fc\u00dfe " * 30
        message["DKIM-Signature"] = "v=1"

        assert b"x" * 80 in content(message).data
