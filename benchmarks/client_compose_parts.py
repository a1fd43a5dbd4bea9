"""Making an email of several parts, without sending it.

Arguments: ``who``: a function's name in `WHO`; ``kind``: one of `KINDS`; ``count``.
"""

import gc
import random
from collections.abc import Callable
from email import policy
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from functools import cache
from typing import Any

from pykka_smtp import Attachment, SendMail

from .mail import HTML, PAGE, RECIPIENT, SENDER, SUBJECT, TEXT
from .measure import Stopwatch, arguments, report

_OCTETS = random.Random(1)
IMAGE = b"\x89PNG\r\n\x1a\n" + _OCTETS.randbytes(20_000)
PDF = b"%PDF-1.7\n" + _OCTETS.randbytes(50_000)
_LOGO = Attachment(IMAGE, name="logo.png")
_PAPER = Attachment(PDF, name="report.pdf")
KINDS = ("html", "files", "merged")
"""Text and HTML; the same, with an image and a PDF; the same, with these made before."""


def send_mail(kind: str) -> object:
    """Make a `SendMail`, and write it as mail data."""
    parts: dict[str, Any] = {"html": HTML}
    if kind != "html":
        is_new = kind == "files"
        logo = Attachment(IMAGE, name="logo.png") if is_new else _LOGO
        paper = Attachment(PDF, name="report.pdf") if is_new else _PAPER
        parts = {"html": PAGE, "inline": {"logo": logo}, "attachments": [paper]}
    mail = SendMail(
        sender=SENDER,
        recipients=RECIPIENT,
        from_name="My Name",
        to_name="Your Name",
        subject=SUBJECT,
        body=TEXT,
        **parts,
    )
    assert mail.content is not None
    return mail.content.render(eight_bit=True)


def email_message(kind: str) -> object:
    """Make the same as the standard library's `EmailMessage`."""
    mail = EmailMessage()
    mail["From"] = f"My Name <{SENDER}>"
    mail["To"] = f"Your Name <{RECIPIENT}>"
    mail["Subject"] = SUBJECT
    mail["Date"] = formatdate()
    mail["Message-ID"] = make_msgid(domain="example.com")
    mail.set_content(TEXT)
    mail.add_alternative(HTML if kind == "html" else PAGE, subtype="html")
    if kind != "html":
        page: Any = mail.get_payload(1)
        page.add_related(IMAGE, "image", "png", cid="<logo>", filename="logo.png")
        mail.add_attachment(PDF, maintype="application", subtype="pdf", filename="report.pdf")
    return mail.as_bytes(policy=policy.SMTP)


def django(kind: str) -> object:
    """Make the same as Django's `EmailMultiAlternatives`."""
    from email.mime.image import MIMEImage

    from django.core.mail import EmailMultiAlternatives

    mail = EmailMultiAlternatives(
        SUBJECT, TEXT, f"My Name <{SENDER}>", [f"Your Name <{RECIPIENT}>"], connection=object()
    )
    mail.attach_alternative(HTML if kind == "html" else PAGE, "text/html")
    if kind != "html":
        image = MIMEImage(IMAGE, "png")
        image.add_header("Content-ID", "<logo>")
        mail.attach(image)
        mail.attach("report.pdf", PDF, "application/pdf")
    return mail.message().as_bytes()


@cache
def _red() -> Any:
    from redmail.email.sender import EmailSender

    return EmailSender("127.0.0.1", 25)  # it connects only to send


def redmail(kind: str) -> object:
    """Make the same with redmail's `EmailSender`."""
    parts: dict[str, Any] = {"html": HTML}
    if kind != "html":
        parts = {
            # It embeds what the page names by a template, and guesses an image's type by its name.
            "html": PAGE.replace('<img src="cid:logo">', "{{ logo }}"),
            "body_images": {"logo": IMAGE},
            "attachments": {"report.pdf": PDF},
        }
    mail = _red().get_message(
        subject=SUBJECT,
        sender=f"My Name <{SENDER}>",
        receivers=[f"Your Name <{RECIPIENT}>"],
        text=TEXT,
        use_jinja=kind != "html",
        **parts,
    )
    return mail.as_bytes(policy=policy.SMTP)


WHO: dict[str, Callable[[str], object]] = {
    function.__name__: function for function in (send_mail, email_message, django, redmail)
}


def main() -> None:
    """Do it over and over."""
    told = arguments()
    make, kind, count = WHO[told["who"]], told["kind"], told["count"]
    if make is django:
        from django.conf import settings

        settings.configure()
    for _ in range(count // 10 + 1):
        make(kind)
    gc.collect()
    watch = Stopwatch()
    for _ in range(count):
        make(kind)
    report(microseconds=watch.cpu() / count * 1e6)


if __name__ == "__main__":
    main()
