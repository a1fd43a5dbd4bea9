"""Composing a plain 1 kB mail, without sending it.

Arguments: ``how``: a function's name in `HOW`; ``count``.
"""

from collections.abc import Callable
from email import policy
from email.message import EmailMessage
from email.mime.text import MIMEText
from email.utils import formatdate, make_msgid

from pykka_smtp import SendMail

from .mail import RECIPIENT, SENDER, SUBJECT, TEXT
from .measure import Stopwatch, arguments, report


def make() -> SendMail:
    """Make the message to the actor: everything is checked, nothing written yet."""
    return SendMail(
        sender=SENDER,
        recipients=RECIPIENT,
        from_name="My Name",
        to_name="Your Name",
        subject=SUBJECT,
        body=TEXT,
    )


def make_and_render() -> object:
    """Make it, and write it as mail data, as the connection does."""
    mail = make()
    assert mail.content is not None
    return mail.content.render(eight_bit=True)


def make_email_message() -> EmailMessage:
    """Make the same mail as the standard library's `EmailMessage`."""
    mail = EmailMessage()
    mail["From"] = f"My Name <{SENDER}>"
    mail["To"] = f"Your Name <{RECIPIENT}>"
    mail["Subject"] = SUBJECT
    mail["Date"] = formatdate()
    mail["Message-ID"] = make_msgid(domain="example.com")
    mail.set_content(TEXT)
    return mail


def email_message() -> object:
    """Make it, and write it as mail data."""
    return make_email_message().as_bytes(policy=policy.SMTP)


def mime_text() -> object:
    """Do the same with the older `MIMEText`."""
    mail = MIMEText(TEXT)
    mail["From"] = f"My Name <{SENDER}>"
    mail["To"] = f"Your Name <{RECIPIENT}>"
    mail["Subject"] = SUBJECT
    mail["Date"] = formatdate()
    mail["Message-ID"] = make_msgid(domain="example.com")
    return mail.as_bytes()


HOW: dict[str, Callable[[], object]] = {
    function.__name__: function for function in (make, make_and_render, email_message, mime_text)
}


def main() -> None:
    """Do it over and over."""
    told = arguments()
    compose, count = HOW[told["how"]], told["count"]
    for _ in range(count // 10 + 1):
        compose()
    watch = Stopwatch()
    for _ in range(count):
        compose()
    report(microseconds=watch.cpu() / count * 1e6)


if __name__ == "__main__":
    main()
