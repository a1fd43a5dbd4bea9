"""A test of a program that sends: nothing leaves, and the test looks at it."""

from pykka_smtp import SendMail, SmtpActor
from pykka_smtp.testing import RecordedMails


def invite(address: str) -> None:
    """Stand for the program."""
    mail = SendMail(sender="me@example.com", recipients=address, subject="Party", body="Come.")
    SmtpActor.start("localhost").tell(mail)


def test_an_invitation_is_sent(smtp_outbox: RecordedMails) -> None:
    invite("you@example.org")

    # begin
    assert smtp_outbox[0].subject == "Party"
    # end
