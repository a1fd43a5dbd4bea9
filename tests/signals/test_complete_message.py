"""What ``message=`` may be: frameworks' own classes, octets, and strangers that misbehave."""

import os
from email.message import EmailMessage, Message
from email.mime.multipart import MIMEMultipart
from email.mime.text import MIMEText
from typing import Any

import pytest
from servers.aiosmtpd_server import AiosmtpdServer

from pykka_smtp import SendMail, SmtpActor


def mail(message: Any) -> SendMail:
    return SendMail(sender="a@b.test", recipients="c@d.test", message=message)


def octets(message: Any) -> bytes:
    content = mail(message).content
    assert content is not None
    data = content.render(eight_bit=True).data
    assert data is not None
    return data


class DjangosText(MIMEText):
    """As Django's SafeMIMEText up to 5.2: its methods take no policy."""

    def as_string(self, unixfrom: bool = False, linesep: str = "\n") -> str:  # type: ignore[override]
        raise AssertionError("not asked for")

    def as_bytes(self, unixfrom: bool = False, linesep: str = "\n") -> bytes:  # type: ignore[override]
        raise AssertionError("not asked for")


class DjangosEmailMessage:
    """As Django's EmailMessage: addresses, and ``message()``."""

    def __init__(self, body: str = "Gr\u00fc\u00dfe\n") -> None:
        self.body = body

    def message(self) -> "Message[Any, Any]":
        message = MIMEMultipart()
        message["Subject"] = "Hi"
        message["Bcc"] = "secret@x.test"
        message.attach(DjangosText(self.body, "plain", "utf-8"))
        return message

    def recipients(self) -> list[str]:
        return ["somebody@else.test"]


class FlaskMailsMessage:
    """As Flask-Mail's Message: ``as_bytes()`` without arguments."""

    def __init__(self, data: object = b"From: a@b.test\n\nx\n") -> None:
        self.data = data

    def as_bytes(self) -> object:
        if isinstance(self.data, BaseException):
            raise self.data
        return self.data


class Both(FlaskMailsMessage):
    """Has a ``message()`` that is something else."""

    def message(self) -> str:
        return "no object of the email package"


def test_django_s_object_is_written_by_its_message() -> None:
    data = octets(DjangosEmailMessage())
    assert b"\r\nSubject: Hi\r\n" in data
    assert b"secret" not in data
    assert data.startswith(b"Date: ")


def test_an_object_of_django_s_own_class_is_written() -> None:
    assert b"\r\n\r\nR3LDvMOfZQo=\r\n" in octets(DjangosText("Gr\u00fc\u00dfe\n", "plain", "utf-8"))


def test_only_recipients_says_who_gets_it() -> None:
    assert mail(DjangosEmailMessage()).envelope.forward_paths == ("c@d.test",)


@pytest.mark.parametrize("kind", [FlaskMailsMessage, Both])
def test_flask_mail_s_octets_go_out_as_they_are(kind: Any) -> None:
    assert octets(kind()) == b"From: a@b.test\n\nx\n"


@pytest.mark.parametrize(
    ("data", "error", "said"),
    [
        ("From: a@b.test\n\nx\n", TypeError, r"as_bytes\(\) of .*\.FlaskMailsMessage must return"),
        (None, TypeError, "must return bytes, not NoneType"),
        (b"", ValueError, "the email is empty; was the file read to its end"),
        (b"From: a@b.test\nBcc: x@y.test\n\nx\n", ValueError, "Bcc would show who gets a blind"),
        (b"resent-bcc : x@y.test\r\n\r\nx\r\n", ValueError, "resent-bcc would show who"),
        (b"A: b\rBcc: x@y.test\r\rx\r", ValueError, "Bcc would show who"),
        (KeyError("no\nkey"), ValueError, r"as_bytes\(\) of .* failed: KeyError: .*key"),
        (RecursionError("deep"), ValueError, "failed: RecursionError: deep"),
    ],
    ids=repr,
)
def test_what_another_library_wrote_is_checked(
    data: object, error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=f"^message: .*{said}") as caught:
        mail(FlaskMailsMessage(data))
    assert str(caught.value).isprintable()


def test_a_bcc_in_the_text_is_not_a_header_field() -> None:
    data = b"From: a@b.test\n\nBcc: x@y.test\n"
    assert octets(FlaskMailsMessage(data)) == data


class BadPath:
    """Looks like a path."""

    def __init__(self, answer: object) -> None:
        self.answer = answer

    def __fspath__(self) -> Any:
        if isinstance(self.answer, BaseException):
            raise self.answer
        return self.answer


@pytest.mark.parametrize("answer", [5, b"mail.eml", None, OSError("x"), KeyError("x")], ids=repr)
def test_an_invalid_path_is_a_type_error_at_once(answer: object) -> None:
    assert isinstance(BadPath(answer), os.PathLike)
    with pytest.raises(TypeError, match=r"^message: (needs a path|the path cannot be had)"):
        mail(BadPath(answer))


@pytest.mark.parametrize("empty", [b"", bytearray(), memoryview(b""), EmailMessage(), Message()])
def test_an_empty_mail_is_refused(empty: object) -> None:
    with pytest.raises(ValueError, match=r"^message: the email is empty; was the "):
        mail(empty)


def test_another_type_is_named_with_its_module() -> None:
    with pytest.raises(TypeError, match=r"binary file, not .*test_complete_message\.BadType$"):
        mail(BadType())
    with pytest.raises(TypeError, match=r"binary file, not set$"):
        mail({1})


class BadType:
    """Nothing that could be sent."""


def test_a_server_stores_what_the_object_says(aiosmtpd_server: Any) -> None:
    server: AiosmtpdServer = aiosmtpd_server()
    made = mail(DjangosEmailMessage())
    outcome = SmtpActor.start(server.host, server.port).ask(made, block=True, timeout=10)

    outcome.raise_for_failure()
    (received,) = server.mails
    assert received.data == octets_of(made)


def octets_of(made: SendMail) -> bytes:
    assert made.content is not None
    data = made.content.render(eight_bit=True).data
    assert data is not None
    return data
