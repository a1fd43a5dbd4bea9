"""Give one mail signals of its own; nobody else is bothered with it.

Run it as ``python examples/per_send_signals.py [host [port]]``.
"""

import sys

from blinker import signal

from pykka_smtp import (
    Outcome,
    SendFailure,
    SendMail,
    SendSuccess,
    SmtpActor,
    smtp_send_failure,
    smtp_send_success,
)

server = sys.argv[1] if len(sys.argv) > 1 else "localhost"
port = int(sys.argv[2]) if len(sys.argv) > 2 else 25


@signal("invoice_sent").connect
def mark_as_sent(_alias: str, outcome: SendSuccess, **_extra: object) -> None:
    print(f"invoice {outcome.context} is on its way")


@signal("invoice_not_sent").connect
def put_aside(_alias: str, outcome: SendFailure, **_extra: object) -> None:
    print(f"invoice {outcome.context} was not sent: {outcome.detail}")


@smtp_send_success.connect
@smtp_send_failure.connect
def never_called(_alias: str, _outcome: Outcome, **_extra: object) -> None:
    print("the signals of all other mails")


SmtpActor.start(server, port).tell(
    SendMail(
        sender="billing@example.com",
        recipients="you@example.org",
        subject="Your invoice",
        body="Please pay 42.",
        context=4711,  # anything; it comes back in the outcome
        success_signal="invoice_sent",
        failure_signal="invoice_not_sent",
    )
)
