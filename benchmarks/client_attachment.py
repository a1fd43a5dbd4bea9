"""pykka-smtp with a few big mails at a time.

Arguments: ``port``, ``count``, ``limit``: mails at a time, ``path``: the mail; ``whole``: whether
to give the mail as bytes, not as a file; ``mailer``: whether a `Mailer` sends them, or an
`SmtpActor` each.
"""

from pathlib import Path

from pykka_smtp import Mailer, SendMail, SmtpActor, set_connection_limit

from .client_pykka import ready, send_many
from .measure import PeakMemory, arguments, report
from .processes import HOST


def main() -> None:
    """Do as told."""
    told = arguments()
    port, limit = told["port"], told["limit"]
    set_connection_limit(limit)
    mailer = None
    if told["mailer"]:
        mailer = Mailer.start(HOST, port, max_connections=limit, initial_connections=limit)

    def tell(mail: SendMail) -> None:
        ref = mailer or SmtpActor.start(HOST, port)
        ref.tell(mail)

    path = Path(told["path"])
    message = path.read_bytes() if told["whole"] else path
    send_many(tell, 1, 0)
    peak = PeakMemory()
    figures = send_many(tell, told["count"], 0, lambda: ready(message))
    extra = peak.extra()
    if mailer is not None:
        mailer.stop()
    report(**figures, peak=extra)


if __name__ == "__main__":
    main()
