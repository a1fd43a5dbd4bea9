"""`SendMail`: every argument, every error, and that nothing changes after it was made."""

import copy
import dataclasses
import datetime as dt
import io
import itertools
import os
import pickle
import re
import subprocess
import sys
from collections.abc import Iterator
from email.message import EmailMessage, Message
from email.policy import SMTP
from email.policy import default as default_policy
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from blinker import Signal

import pykka_smtp
from pykka_smtp import DeliverBy, Dsn, SendMail
from pykka_smtp.signals.composing.ids import new_id
from pykka_smtp.smtp.mail.delivery_options import NO_OPTIONS, DeliveryOptions
from pykka_smtp.smtp.mail.envelope import MAX_RECIPIENTS

ME, YOU, HER = "me@a.test", "you@b.test", "her@b.test"
NOON = dt.datetime(2026, 11, 23, 12, tzinfo=dt.UTC)


def mail(**given: Any) -> SendMail:
    return SendMail(**{"sender": ME, "recipients": YOU, **given})


def octets(made: SendMail, *, eight_bit: bool = True) -> bytes:
    assert made.content is not None
    data = made.content.render(eight_bit=eight_bit).data
    assert data is not None
    return data


def text(made: SendMail) -> str:
    return octets(made).decode()


def header(made: SendMail, name: str) -> str | None:
    match = re.search(rf"^{name}: (.*)\r$", text(made).partition("\r\n\r\n")[0], re.MULTILINE)
    return match[1] if match else None


# Envelope


def test_a_sendmail_needs_only_sender_and_recipients() -> None:
    made = mail()

    assert (made.sender, made.recipients, made.cc, made.bcc) == (ME, (YOU,), (), ())
    assert (made.envelope.reverse_path, made.envelope.forward_paths) == (ME, (YOU,))
    assert made.all_recipients == (YOU,)
    assert made.source is None
    assert made.envelope.options == NO_OPTIONS
    assert (header(made, "From"), header(made, "To")) == (ME, YOU)
    assert header(made, "Subject") == "(none)"
    assert header(made, "Cc") is None
    assert text(made).endswith("\r\n\r\n")


def test_all_arguments_are_named() -> None:
    untyped: Any = SendMail
    with pytest.raises(TypeError):
        untyped(ME, YOU)
    with pytest.raises(TypeError):
        SendMail(recipients=YOU)  # type: ignore[call-arg]
    with pytest.raises(TypeError):
        SendMail(sender=ME)


def generator() -> Iterator[str]:
    yield YOU
    yield HER


@pytest.mark.parametrize(
    "several",
    [[YOU, HER], (YOU, HER), dict.fromkeys([YOU, HER]).keys(), generator()],
    ids=["list", "tuple", "keys", "generator"],
)
def test_recipients_may_come_in_any_collection_that_has_an_order(several: Any) -> None:
    made = mail(recipients=several)

    assert made.recipients == (YOU, HER)
    assert header(made, "To") == f"{YOU}, {HER}"


class _Touchy(list[str]):
    """A list that is never unlike anything, as an array of numpy's may seem to be."""

    __hash__ = None

    def __eq__(self, other: object) -> bool:
        return True

    def __ne__(self, other: object) -> bool:
        return False


@pytest.mark.parametrize("name", ["cc", "bcc"])
def test_whoever_gets_a_copy_gets_it_whatever_the_list_thinks_of_itself(name: str) -> None:
    made = mail(**{name: _Touchy(["boss@c.test"])})

    assert made.all_recipients == made.envelope.forward_paths == (YOU, "boss@c.test")
    assert getattr(made, name) == ("boss@c.test",)
    assert type(getattr(mail(**{name: _Touchy()}), name)) is tuple


def test_cc_is_seen_and_bcc_is_not() -> None:
    made = mail(cc="cc@b.test", bcc=["bcc@b.test", YOU])

    assert (made.cc, made.bcc) == (("cc@b.test",), ("bcc@b.test", YOU))
    assert made.all_recipients == (YOU, "cc@b.test", "bcc@b.test", YOU)
    assert made.envelope.forward_paths == (YOU, "cc@b.test", "bcc@b.test")  # each once
    assert header(made, "Cc") == "cc@b.test"
    assert "bcc:" not in text(made).lower()  # a Message-ID may well have "bcc" in it
    assert "bcc@b.test" not in text(made)


@pytest.mark.parametrize(
    ("given", "error", "said"),
    [
        ({"sender": ""}, ValueError, 'sender: the sender is empty; .* written "<>"'),
        ({"sender": "me"}, ValueError, "sender: invalid address 'me': it has no \"@\""),
        ({"sender": "me@a.test\r\nRSET"}, ValueError, r"^sender: .*control character"),
        ({"sender": "Me <me@a.test"}, ValueError, "sender: invalid address .*"),
        ({"sender": None}, TypeError, "sender: an address must be a str, not NoneType"),
        ({"recipients": ""}, ValueError, r"recipients\[0\]: invalid address '': it is empty"),
        ({"recipients": []}, ValueError, "recipients: empty; an email needs at least one"),
        ({"recipients": [], "cc": YOU}, ValueError, "recipients: empty; an email needs at least"),
        (
            {"recipients": [], "cc": YOU, "bcc": HER},
            ValueError,
            "recipients: empty; an email needs",
        ),
        ({"recipients": None}, TypeError, "recipients: needs an address or several, not NoneType"),
        ({"recipients": 5}, TypeError, "recipients: needs an address or several, not int"),
        ({"recipients": b"you@b.test"}, TypeError, "not bytes"),
        ({"recipients": bytearray(b"a@b")}, TypeError, "not bytearray"),
        ({"recipients": {YOU: "You"}}, TypeError, "not dict"),
        ({"recipients": [YOU, None]}, TypeError, r"recipients\[1\]: an address must be a str"),
        ({"recipients": [YOU, "b c@d"]}, ValueError, r"recipients\[1\]: invalid address 'b c@d'"),
        ({"recipients": "a@b.test, c@d.test"}, ValueError, "several recipients as a list"),
        ({"cc": None}, TypeError, "cc: needs an address or several, not NoneType"),
        ({"cc": "x"}, ValueError, r"recipients\[1\]: invalid address 'x'"),
        ({"bcc": 5}, TypeError, "bcc: needs an address or several, not int"),
        ({"bcc": ["x\0@b.test"]}, ValueError, "control character"),
    ],
    ids=repr,
)
def test_addresses_are_checked_at_once(
    given: dict[str, Any], error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=said) as caught:
        mail(**given)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("field", ["recipients", "cc", "bcc"])
def test_recipients_without_end_are_not_read_to_their_end(field: str) -> None:
    endless = itertools.count()

    with pytest.raises(ValueError, match="more than 100000 recipients"):
        mail(**{field: (f"u{number}@b.test" for number in endless)})
    assert next(endless) == MAX_RECIPIENTS + 1


def test_the_null_reverse_path_needs_a_from_of_its_own() -> None:
    with pytest.raises(ValueError, match="needs a From in headers="):
        mail(sender="<>")

    made = mail(sender="<>", headers={"From": "Mail System <postmaster@a.test>"})

    assert made.envelope.reverse_path == ""
    assert header(made, "From") == "Mail System <postmaster@a.test>"
    # There is no sender to take a domain from.
    assert str(header(made, "Message-ID")).endswith("@b.test>")


# Names


def test_names_stand_beside_their_addresses() -> None:
    made = mail(from_name="My Name", to_name="Your, Name")

    assert header(made, "From") == f"My Name <{ME}>"
    assert header(made, "To") == f'"Your, Name" <{YOU}>'


def test_several_recipients_have_a_name_each_or_none() -> None:
    made = mail(recipients=[YOU, HER], to_name=["You", None])

    assert header(made, "To") == f"You <{YOU}>, {HER}"


def test_names_beyond_ascii_are_encoded() -> None:
    assert header(mail(from_name="J\u00f6rg"), "From") == f"=?utf-8?b?SsO2cmc=?= <{ME}>"


@pytest.mark.parametrize(
    ("given", "error", "said"),
    [
        ({"to_name": ["You", "Her"]}, ValueError, "to_name: has 2 names for 1 recipients"),
        ({"to_name": []}, ValueError, "to_name: has 0 names for 1 recipients"),
        ({"to_name": "x", "recipients": [YOU, HER]}, ValueError, "has 1 names for 2 recipients"),
        ({"to_name": 5}, TypeError, "to_name: needs a name or several, not int"),
        ({"to_name": b"You"}, TypeError, "to_name: needs a name or several, not bytes"),
        ({"to_name": {"You"}}, TypeError, "to_name: needs a name or several, not set"),
        ({"to_name": [5]}, TypeError, "to_name: must be a str, not int"),
        ({"to_name": "x\r\nBcc: y"}, ValueError, r"to_name: control character '\\r' at position 1"),
        ({"from_name": "x\n"}, ValueError, r"from_name: control character '\\n'"),
        ({"from_name": 5}, TypeError, "from_name: must be a str, not int"),
    ],
    ids=repr,
)
def test_names_are_checked_at_once(
    given: dict[str, Any], error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=said):
        mail(**given)


# Header and body


@pytest.mark.parametrize(
    "headers",
    [
        {"X-One": "1", "Reply-To": HER},
        [("X-One", "1"), ("Reply-To", HER)],
        (pair for pair in [("X-One", "1"), ("Reply-To", HER)]),
    ],
    ids=["mapping", "list", "iterator"],
)
def test_more_header_fields_come_as_a_mapping_or_in_pairs(headers: Any) -> None:
    made = mail(headers=headers)

    assert (header(made, "X-One"), header(made, "Reply-To")) == ("1", HER)


def test_a_field_of_the_caller_s_replaces_a_generated_one() -> None:
    made = mail(headers={"subject": "mine", "Message-ID": "<my@id.test>", "To": "all: ;"})

    assert text(made).count("ubject:") == 1
    assert header(made, "subject") == "mine"
    assert header(made, "Message-ID") == "<my@id.test>"
    assert header(made, "To") == "all: ;"
    assert made.envelope.forward_paths == (YOU,)


@pytest.mark.parametrize(
    ("headers", "error", "said"),
    [
        ("X: 1", TypeError, "headers: needs a mapping, or pairs of name and value, not str"),
        (b"X: 1", TypeError, "headers: needs a mapping, or pairs .*, not bytes"),
        (5, TypeError, "headers: needs a mapping, or pairs .*, not int"),
        ([("X",)], TypeError, r"headers: must be a tuple of pairs \(name, value\); item 1"),
        ({"X": 5}, TypeError, "header X: must be a str, not int"),
        ({5: "x"}, TypeError, "headers: a name must be a str, not int"),
        ({"X:": "x"}, ValueError, "headers: "),
        ({"X": "1\r\nBcc: x@y.test"}, ValueError, "header X: control character"),
        ({"Bcc": HER}, ValueError, "headers: Bcc would show who gets a blind copy; use bcc="),
        ({"MIME-Version": "2.0"}, ValueError, "headers: MIME-Version cannot be given"),
        (itertools.repeat(("X", "1")), ValueError, "headers: more than 1000 fields"),
    ],
    ids=str,
)
def test_header_fields_are_checked_at_once(headers: Any, error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said) as caught:
        mail(headers=headers)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    ("body", "sent"),
    [
        ("one\ntwo", "one\r\ntwo\r\n"),
        (b"one\r\ntwo\r\n", "one\r\ntwo\r\n"),
        (["one", "two"], "one\r\ntwo\r\n"),
        (("one\n", b"two\r\n"), "one\r\ntwo\r\n"),
        ("gr\u00fc\u00dfe", "gr\u00fc\u00dfe\r\n"),
    ],
    ids=repr,
)
def test_the_body_may_be_text_octets_or_lines(body: Any, sent: str) -> None:
    assert text(mail(body=body)).partition("\r\n\r\n")[2] == sent


@pytest.mark.parametrize(
    ("given", "error", "said"),
    [
        ({"body": 5}, TypeError, "body: must be a str, bytes or a sequence of lines, not int"),
        ({"body": ["x", 5]}, TypeError, "body: line 2 must be a str or bytes, not int"),
        ({"body": "a\0b"}, ValueError, "body: NUL at octet 1"),
        ({"body": "\ud800"}, ValueError, "body: lone surrogate"),
        ({"subject": "a\r\nBcc: x@y.test"}, ValueError, "subject: control character"),
        ({"subject": 5}, TypeError, "subject: must be a str, not int"),
    ],
    ids=repr,
)
def test_subject_and_body_are_checked_at_once(
    given: dict[str, Any], error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=said):
        mail(**given)


# Complete mails


MESSAGE = b"From: a@b.test\nSubject: x\n\nHello\n"


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_a_complete_mail_of_octets_goes_out_as_it_is(kind: Any) -> None:
    given = kind(MESSAGE)
    made = mail(message=given)
    if kind is bytearray:
        given[:] = b"something else"

    assert octets(made) == MESSAGE
    assert made.source is None
    assert made.content is not None
    assert type(made.content.render(eight_bit=True).data) is bytes


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"subject": "x"}, "leave out subject$"),
        ({"body": "x"}, "leave out body$"),
        ({"from_name": "x"}, "leave out from_name$"),
        ({"to_name": "x"}, "leave out to_name$"),
        ({"cc": HER}, "leave out cc$"),
        ({"headers": {"X": "1"}}, "leave out headers$"),
        ({"from_name": "", "cc": HER}, "leave out from_name, cc$"),
    ],
    ids=repr,
)
def test_a_complete_mail_has_its_parts_already(given: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=f"^message: is complete; {said}"):
        mail(message=MESSAGE, **given)


def test_a_complete_mail_may_have_blind_copies_and_the_default_subject() -> None:
    made = mail(message=MESSAGE, bcc=HER, subject="(none)", body="", headers=())

    assert made.envelope.forward_paths == (YOU, HER)
    assert HER.encode() not in octets(made)


@pytest.mark.parametrize(
    ("message", "said"),
    [
        ("From: a@b.test\n\n", "needs bytes, an EmailMessage, a path or a binary file, not str"),
        (5, "not int"),
        ([MESSAGE], "not list"),
        (io.StringIO("x"), "message: the file is opened in text mode; open it with mode 'rb'"),
    ],
    ids=["str", "int", "list", "text file"],
)
def test_a_complete_mail_of_another_type_is_refused(message: Any, said: str) -> None:
    with pytest.raises(TypeError, match=said):
        mail(message=message)


def test_a_path_or_a_file_is_read_while_it_is_sent(tmp_path: Path) -> None:
    path = tmp_path / "there is none"  # which the send will tell
    file = io.BytesIO(MESSAGE)

    for source in (path, file):
        made = mail(message=source)
        assert made.content is None
        assert made.source is source
    assert file.tell() == 0


# Mails from the email package


def email(**given: Any) -> EmailMessage:
    message = EmailMessage(**given)
    message["From"] = ME
    message["To"] = YOU
    message["Subject"] = "Hello"
    message.set_content("one\n")
    return message


@pytest.mark.parametrize("policy", [default_policy, SMTP])
def test_an_email_message_goes_out_with_the_line_ends_of_the_wire(policy: Any) -> None:
    data = octets(mail(message=email(policy=policy)))

    assert data.count(b"\n") == data.count(b"\r\n") > 3
    assert data.endswith(b"\r\n\r\none\r\n")


def test_an_email_message_is_a_snapshot() -> None:
    message = email()
    made = mail(message=message)
    before = octets(made)
    message.replace_header("Subject", "Changed")
    message.set_content("two\n")

    assert octets(made) == before


def test_an_email_message_loses_its_blind_copies_and_nothing_else() -> None:
    message = email()
    message["bCC"] = "secret@x.test"
    message["Resent-Bcc"] = "other@x.test"
    message["X-Bcc"] = "kept@x.test"
    before = message.as_bytes()
    made = mail(message=message)

    assert b"secret" not in octets(made)
    assert b"other" not in octets(made)
    assert b"X-Bcc: kept@x.test\r\n" in octets(made)
    assert made.envelope.forward_paths == (YOU,)  # who gets it is said to SendMail
    # The caller's own is as it was.
    assert message.as_bytes() == before
    assert message["Bcc"] == "secret@x.test"


def test_an_email_message_in_ascii_is_one_for_every_server() -> None:
    made = mail(message=email())

    assert octets(made, eight_bit=False) == octets(made, eight_bit=True)


def test_an_email_message_with_8_bit_data_has_a_form_in_ascii() -> None:
    message = email()
    message.set_content("gr\u00fc\u00dfe\n", cte="8bit")
    made = mail(message=message)

    assert "gr\u00fc\u00dfe".encode() in octets(made)
    assert octets(made, eight_bit=False).isascii()
    assert octets(made, eight_bit=False).endswith((b"gr=C3=BC=C3=9Fe\r\n", b"Z3LDvMOfZQo=\r\n"))


def test_an_old_message_does_as_well() -> None:
    message = Message()
    message["From"] = ME
    message["Bcc"] = "secret@x.test"
    message["BCC"] = "and another"
    message.set_payload("Hello\n")

    assert octets(mail(message=message)).endswith(f"From: {ME}\r\n\r\nHello\r\n".encode())
    assert b"secret" not in octets(mail(message=message))
    assert b"another" not in octets(mail(message=message))


# Options


def test_options_stand_in_the_envelope() -> None:
    dsn = Dsn(notify={"failure"}, ret="hdrs", envid="1", orcpt={YOU: HER})
    late = DeliverBy(seconds=60, on_expiry="notify", trace=True)
    made = mail(dsn=dsn, deliver_by=late, hold_for=5, priority=-3, require_tls=True)

    assert made.envelope.options == DeliveryOptions(
        dsn=dsn, deliver_by=late, hold_for=5, priority=-3, require_tls=True
    )
    assert mail(hold_until=NOON).envelope.options.hold == "HOLDUNTIL=2026-11-23T12:00:00Z"


@pytest.mark.parametrize(
    ("given", "error", "said"),
    [
        ({"dsn": {"notify": "never"}}, TypeError, "^dsn: needs a Dsn, not dict$"),
        ({"dsn": Dsn(orcpt={HER: HER})}, ValueError, f"^orcpt: '{HER}' is not a recipient of this"),
        ({"deliver_by": 5}, TypeError, "^deliver_by: needs a DeliverBy, not int$"),
        ({"hold_for": "5"}, TypeError, "^hold_for: needs an int, not str$"),
        ({"hold_for": -1}, ValueError, "^hold_for: needs 1 to 999999999, not -1$"),
        ({"hold_until": NOON.replace(tzinfo=None)}, ValueError, "^hold_until: needs a time zone"),
        ({"hold_until": NOON, "hold_for": 5}, ValueError, "give one of them$"),
        ({"priority": 10}, ValueError, "^priority: needs -9 to 9, not 10$"),
        ({"require_tls": "yes"}, TypeError, "^require_tls: needs True or False, not str$"),
    ],
    ids=str,
)
def test_options_are_checked_at_once(
    given: dict[str, Any], error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=said):
        mail(**given)


def test_the_facade_has_the_options() -> None:
    assert pykka_smtp.Dsn is Dsn
    assert pykka_smtp.DeliverBy is DeliverBy
    assert {"Dsn", "DeliverBy"} <= set(pykka_smtp.__all__)


# Who hears of it


def test_whoever_is_to_hear_of_it_is_named() -> None:
    class Ref:
        def tell(self, message: object) -> None:
            raise AssertionError

    context, ref, signal = object(), Ref(), Signal("mine")
    made = mail(context=context, success_signal="good", failure_signal=signal, outcome_to=ref)

    assert made.context is context
    assert (made.success_signal, made.failure_signal) == ("good", signal)
    assert made.outcome_to is ref


@pytest.mark.parametrize(
    ("given", "error", "said"),
    [
        ({"success_signal": 5}, TypeError, "success_signal: needs a signal or its name, not int"),
        ({"failure_signal": print}, TypeError, "failure_signal: needs a signal or its name"),
        ({"outcome_to": "me"}, TypeError, "outcome_to: needs an actor ref, or .* with tell"),
        ({"id": 5}, TypeError, "id: needs a str, not int"),
        ({"id": None}, TypeError, "id: needs a str, not NoneType"),
        ({"id": ""}, ValueError, "id: needs 1 to 255 printable characters"),
        ({"id": "a\nb"}, ValueError, "id: needs 1 to 255 printable characters"),
        ({"id": "x" * 256}, ValueError, "id: needs 1 to 255 printable characters"),
    ],
    ids=str,
)
def test_what_cannot_hear_of_it_is_refused(
    given: dict[str, Any], error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=said):
        mail(**given)


# The id, and the Message-ID


@pytest.mark.parametrize("name", ["order-17", "a.b", "x" * 64, "1"])
def test_an_id_that_can_stand_in_the_message_id_does(name: str) -> None:
    made = mail(id=name)

    assert made.id == name
    assert header(made, "Message-ID") == f"<{name}@a.test>"


@pytest.mark.parametrize("name", ["order 17", "a..b", "x" * 65, "\u00e9", "a@b", "<>", "x" * 255])
def test_an_id_that_cannot_stand_there_has_a_message_id_made_up(name: str) -> None:
    made = mail(id=name)

    assert made.id == name
    message_id = header(made, "Message-ID")
    assert message_id is not None
    assert re.fullmatch(r"<[0-9a-f]{24}@a\.test>", message_id)
    assert header(mail(id=name), "Message-ID") != message_id


def test_ids_are_made_up_and_never_twice() -> None:
    ids = {mail().id for _ in range(100)} | {new_id()}

    assert len(ids) == 101
    assert all(re.fullmatch("[0-9a-f]{24}", name) for name in ids)


def test_a_forked_child_makes_other_ids() -> None:
    before = new_id()
    new_id.renew()  # what os.register_at_fork calls

    assert new_id()[:16] != before[:16]


FORKS = r"""
import os
from pykka_smtp.signals.composing.ids import new_id

new_id()
child = os.fork()
if child:
    os.waitpid(child, 0)
os.write(1, f"{new_id()[:16]}\n".encode())
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_child_and_its_parent_share_no_id() -> None:
    run = subprocess.run([sys.executable, "-c", FORKS], capture_output=True, text=True, check=True)

    assert len(set(run.stdout.split())) == 2


@pytest.mark.parametrize(
    ("sender", "domain"),
    [
        ("me@b\u00fccher.test", "xn--bcher-kva.test"),
        # As RFC 5891 has it, not the older IDNA, for which it is another domain.
        ("me@stra\u00dfe.test", "xn--strae-oqa.test"),
        ("me@[192.0.2.1]", "[192.0.2.1]"),
        ('"a b"@a.test', "a.test"),
    ],
)
def test_the_message_id_has_the_sender_s_domain_in_ascii(sender: str, domain: str) -> None:
    assert header(mail(sender=sender, id="1"), "Message-ID") == f"<1@{domain}>"


def test_the_message_id_of_a_mail_to_the_local_postmaster_names_this_machine() -> None:
    made = mail(sender="<>", recipients="postmaster", headers={"From": ME}, id="1")

    assert header(made, "Message-ID") == "<1@localhost>"


# The value


def test_a_mail_cannot_be_changed() -> None:
    made = mail()

    with pytest.raises(dataclasses.FrozenInstanceError):
        made.subject = "x"  # type: ignore[misc]
    assert not hasattr(made, "__dict__")


def test_two_mails_are_equal_if_all_that_was_given_is_except_for_their_ids() -> None:
    assert mail(id="1") == mail(id="2") == mail()
    assert hash(mail(id="1")) == hash(mail(id="2"))
    assert mail(headers=iter([("X-A", "1")])) == mail(headers={"X-A": "1"})
    assert mail(recipients=[("You", "you@b.test")]) == mail(recipients="You <you@b.test>")
    assert mail() != "mail"


@pytest.mark.parametrize(
    "other",
    [
        *({"sender": "he@a.test"}, {"recipients": "he@b.test"}, {"bcc": "he@b.test"}),
        *({"subject": "other"}, {"body": "other"}, {"to_name": "You"}, {"context": 1}),
        *({"headers": {"X-A": "1"}}, {"require_tls": True}, {"success_signal": "x"}),
        *({"message": b"A: b\r\n\r\nc"}, {"message": Path("mail.eml")}),
    ],
)
def test_mails_that_differ_in_anything_that_was_given_are_not_equal(other: dict[str, Any]) -> None:
    assert mail(**other) == mail(**other)
    assert mail() != mail(**other)


def test_a_pickled_copy_is_equal() -> None:
    message = EmailMessage()
    message["From"] = "me@a.test"
    message.set_content("hello")
    for made in (mail(body="x"), mail(message=message), mail(message=Path("mail.eml"))):
        assert pickle.loads(pickle.dumps(made)) == made  # noqa: S301


def test_a_mock_that_was_told_a_mail_can_be_asked_for_an_equal_one() -> None:
    told = mock.Mock()
    told.tell(mail(subject="News"))

    told.tell.assert_called_once_with(mail(subject="News"))


def test_as_bytes_is_the_message_with_crlf(tmp_path: Path) -> None:
    composed = mail(subject="News", body="one\ntwo").as_bytes()
    assert composed.startswith(b"From: ")
    assert composed.endswith(b"\r\n\r\none\r\ntwo\r\n")
    assert b"\r\nSubject: News\r\n" in composed
    assert mail(message=b"A: b\n\nc").as_bytes() == b"A: b\r\n\r\nc\r\n"
    path = tmp_path / "mail.eml"
    path.write_bytes(b"A: b\r\n\r\nc\r\n")
    assert mail(message=path).as_bytes() == b"A: b\r\n\r\nc\r\n"
    with path.open("rb") as file, pytest.raises(ValueError, match="it can be read once"):
        mail(message=file).as_bytes()


def test_the_message_id_is_that_of_the_header() -> None:
    made = mail(id="one")
    assert made.message_id == "<one@a.test>"
    assert f"\r\nMessage-ID: {made.message_id}\r\n".encode() in made.as_bytes()
    assert mail(headers={"message-id": "<mine@x.test>"}).message_id == "<mine@x.test>"
    message = EmailMessage()
    message.set_content("hello")
    assert mail(message=message, id="two").message_id == "<two@a.test>"
    for field in (b"Message-ID: <m@x>", b"A: b\nMESSAGE-ID:\n <m@x>", b"A: b\r\nMessage-Id:<m@x>"):
        assert mail(message=field + b"\n\nhello").message_id == "<m@x>"
    for without in (b"A: b\n\nMessage-ID: <m@x>", b"Message-ID: none\n\n"):
        assert mail(message=without).message_id is None
    assert mail(message=Path("mail.eml")).message_id is None


def test_a_complete_mail_says_what_it_is(tmp_path: Path) -> None:
    message = EmailMessage()
    message.set_content("hello")
    assert repr(mail(message=b"A: b\n\nc", id="1")) == (
        "SendMail(sender='me@a.test', recipients=('you@b.test',), message=<bytes, 7 octets>,"
        " id='1')"
    )
    assert "message=<email.message.EmailMessage, " in repr(mail(message=message))
    assert f"message={tmp_path!r}" in repr(mail(message=tmp_path))
    assert "message=<_io.BytesIO>" in repr(mail(message=io.BytesIO()))


def test_a_mail_does_not_show_what_others_need_not_see() -> None:
    shown = repr(
        mail(
            bcc="secret1@x.test",
            body="secret2",
            headers={"X": "secret3"},
            context="secret4",
            dsn=Dsn(envid="secret5", orcpt={"secret1@x.test": "secret6@x.test"}),
            success_signal="secret7",
            id="17",
        )
    )

    assert "secret" not in shown
    assert shown == (
        f"SendMail(sender='{ME}', recipients=('{YOU}',), subject='(none)', from_name=None,"
        " to_name=None, cc=(), id='17')"
    )
    assert "secret" not in repr(mail(message=b"secret"))


def test_a_mail_can_be_made_again_with_one_thing_changed() -> None:
    made = mail(
        recipients=[YOU, HER],
        to_name=["You", None],
        cc="cc@b.test",
        bcc="bcc@b.test",
        headers={"X": "1"},
        body=["one", "two"],
        dsn=Dsn(notify={"delay"}, orcpt={YOU: HER}),
        hold_until=NOON,
    )

    again = dataclasses.replace(made, context=5)

    assert (again.context, again.id, again.envelope) == (5, made.id, made.envelope)
    without_date = [re.sub(rb"\r\nDate:[^\r]*", b"", octets(each)) for each in (made, again)]
    assert without_date[0] == without_date[1]


@pytest.mark.parametrize("given", [{"body": "x", "dsn": Dsn(notify="never")}, {"message": MESSAGE}])
def test_a_mail_can_be_copied_and_pickled(given: dict[str, Any]) -> None:
    made = mail(context={"a": 1}, **given)

    for other in (copy.deepcopy(made), pickle.loads(pickle.dumps(made))):  # noqa: S301 - our own
        assert (other.id, other.envelope) == (made.id, made.envelope)
        assert octets(other) == octets(made)
        assert repr(other) == repr(made)


DOCS = Path(__file__).parents[2] / "docs" / "extensions.md"
EXAMPLES = re.findall(r"^```python\n(.*?)^```$", DOCS.read_text(), re.MULTILINE | re.DOTALL)
assert EXAMPLES


@pytest.mark.parametrize("example", EXAMPLES)
def test_the_examples_of_extensions_can_be_run(example: str) -> None:
    exec(compile(example, str(DOCS), "exec"), {})  # noqa: S102 - ours
