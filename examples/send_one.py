"""Send one mail, and hear what became of it.

Run it as ``python examples/send_one.py [host [port]]``.
"""

import sys

from pykka_smtp import (
    SendFailure,
    SendMail,
    SendSuccess,
    SmtpActor,
    smtp_send_failure,
    smtp_send_success,
)

server = sys.argv[1] if len(sys.argv) > 1 else "localhost"
port = int(sys.argv[2]) if len(sys.argv) > 2 else 25


@smtp_send_success.connect
def sent(alias: str, outcome: SendSuccess, **_extra: object) -> None:
    print(f"{alias}: accepted: {outcome.reply}")


@smtp_send_failure.connect
def failed(alias: str, outcome: SendFailure, **_extra: object) -> None:
    print(f"{alias}: not sent: {outcome.kind.name}: {outcome.detail}")


SmtpActor.start(server, port, alias="smtp_client").tell(
    SendMail(
        sender="me@example.com",
        recipients="you@example.org",
        from_name="My Name",
        to_name="Your Name",
        subject="Hello",
        body="1 2 3 4 5 6",
    )
)
print("told; the program goes on")
