"""What comes out of the file is the email that was put."""

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest

from pykka_smtp import SendMail
from pykka_smtp.actors.outbox.text.mail_text import mail_of, to_text

THEN = "2024-02-29T12:00:00+01:00"


def octets(mail: SendMail) -> bytes:
    assert mail.content is not None
    data = mail.content.render(eight_bit=True).data
    assert data is not None
    return data


@pytest.mark.parametrize(
    "given",
    [
        {"subject": "Grüße", "body": "Hallo\nWelt", "from_name": "Me", "to_name": ["You"]},
        {"body": b"\xff\xfe\n", "headers": {"Reply-To": "a@example.com"}},
        {"body": "x", "cc": ["c@example.org"], "headers": {"Subject": "y", "From": "z@x.test"}},
    ],
)
def test_a_second_copy_has_the_date_of_the_first(given: dict[str, Any]) -> None:
    mail = SendMail(sender="me@example.com", recipients=["you@example.org"], **given)
    text = to_text(mail)

    copy = mail_of(json.dumps(json.loads(text.env) | {"date": THEN}), text.body)

    expected = re.sub(
        rb"(?m)^Date: .*?\r$", b"Date: Thu, 29 Feb 2024 12:00:00 +0100\r", octets(mail)
    )
    assert octets(copy) == expected != octets(mail)


def test_a_date_of_the_callers_stays() -> None:
    own = "Mon, 01 Jan 2024 00:00:00 +0000"
    mail = SendMail(
        sender="me@example.com", recipients="you@example.org", body="x", headers={"Date": own}
    )
    text = to_text(mail)

    copy = mail_of(json.dumps(json.loads(text.env) | {"date": THEN}), text.body)

    assert octets(copy) == octets(mail)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_named_pipe_is_refused_and_nobody_waits_for_its_writer(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    mail = SendMail(sender="a@b.test", recipients="c@d.test", message=tmp_path / "pipe")

    with pytest.raises(ValueError, match="pipe is no regular file"):
        to_text(mail)
