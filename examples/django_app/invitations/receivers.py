"""Hears what became of the emails, on a thread of pykka-smtp."""

from pykka_smtp import Outcome, SendSuccess, smtp_send_failure, smtp_send_success
from pykka_smtp.django import closing_connections

from .models import Invitation


@smtp_send_success.connect
@smtp_send_failure.connect
@closing_connections
def store(_sender: str, outcome: Outcome, **_extra: object) -> None:
    """Store an outcome; its context is the message that the view has sent."""
    number = outcome.context.extra_headers.get("X-Invitation")
    accepted = isinstance(outcome, SendSuccess)
    state = f"accepted: {outcome.reply}" if accepted else f"not sent: {outcome}"
    Invitation.objects.filter(pk=number).update(state=state[:400])
