"""Hear only of some mails: the alias of an actor is the sender of its signals.

Run it as ``python examples/subscribe_by_sender.py [host [port]]``.
"""

import sys

from pykka_smtp import Outcome, SendMail, SmtpActor, smtp_send_failure, smtp_send_success

server = sys.argv[1] if len(sys.argv) > 1 else "localhost"
port = int(sys.argv[2]) if len(sys.argv) > 2 else 25


def alerts_only(_alias: str, outcome: Outcome, **_extra: object) -> None:
    print("alerts_only hears:", outcome)


def everything(alias: str, outcome: Outcome, **_extra: object) -> None:
    print(f"everything hears of {alias}: {type(outcome).__name__}")


for signal in (smtp_send_success, smtp_send_failure):
    signal.connect(alerts_only, sender="alerts")
    signal.connect(everything)

# Any number of actors may have the same alias, at the same time as well.
for alias in ("newsletter", "alerts", "newsletter"):
    SmtpActor.start(server, port, alias=alias).tell(
        SendMail(
            sender=f"{alias}@example.com",
            recipients="you@example.org",
            subject=f"From {alias}",
            body="1 2 3 4 5 6",
        )
    )
