"""A jukebox made of actors, as Mopidy is: its frontends hear what it plays, and one sends email.

Run it as ``python examples/jukebox/jukebox.py [host [port]]``. `test_jukebox` has its tests.
"""

import sys
from dataclasses import dataclass
from typing import Any

import pykka

from pykka_smtp import (
    Drain,
    Mailer,
    MailerRef,
    Outcome,
    SendFailure,
    SendMail,
    SendSuccess,
    forward_to,
    smtp_send_failure,
)

ALIAS = "jukebox"


@dataclass(frozen=True)
class Played:
    """An event: a track was played that somebody had wished for."""

    title: str
    wished_by: str


class Frontend(pykka.ThreadingActor):
    """An actor that is told each event; the kinds of them are its subclasses."""


class Core(pykka.ThreadingActor):
    """Plays tracks. Knows no frontend by name, and nothing of email."""

    def play(self, title: str, wished_by: str) -> None:
        """Play a track, and tell of it. By ``tell``: a slow frontend delays nobody."""
        for frontend in pykka.ActorRegistry.get_by_class(Frontend):
            frontend.tell(Played(title, wished_by))


class Thanks(Frontend):
    """Writes to who has wished for a track; its inbox gets the outcomes, so it needs no lock."""

    def __init__(self, mailer: MailerRef) -> None:
        super().__init__()
        self.mailer = mailer
        self.thanked: list[str] = []
        self.unreachable: set[str] = set()

    def on_receive(self, message: Any) -> None:
        """Handle what comes in, one message after the other."""
        match message:
            case Played(title, address) if address not in self.unreachable:
                mail = SendMail(
                    sender="jukebox@example.com",
                    recipients=address,
                    subject=f"We have played {title}",
                    body="Thank you for your wish.",
                    context=title,
                    outcome_to=self.actor_ref,
                )
                self.mailer.tell(mail)
            case SendSuccess(mail=mail, context=title):
                self.thanked.append(f"{mail.recipients[0]} for {title}")
            case SendFailure(mail=mail, retryable=False):
                self.unreachable.add(mail.recipients[0])
            case _:
                pass  # events that do not matter here


class Watch(pykka.ThreadingActor):
    """Hears of each email of the jukebox that failed, whoever has sent it."""

    def __init__(self) -> None:
        super().__init__()
        self.failures: list[str] = []

    def on_start(self) -> None:
        """Begin to listen: from now on, outcomes are in the inbox."""
        self.subscription = forward_to(self.actor_ref, smtp_send_failure, sender=ALIAS)

    def on_stop(self) -> None:
        """End the subscription; it would also end by itself, at the next outcome."""
        self.subscription.stop()

    def on_receive(self, message: Outcome) -> None:
        """Note a failure."""
        self.failures.append(str(message))


class Jukebox:
    """All actors of the program."""

    def __init__(self, host: str, port: int) -> None:
        self.mailer = Mailer.start(host, port, alias=ALIAS)
        self.watch = Watch.start().proxy()
        self.thanks = Thanks.start(self.mailer).proxy()
        self.core = Core.start().proxy()

    def stop(self) -> None:
        """Stop whoever tells first, then send what was told, and then stop who hears of it."""
        self.core.stop()
        self.thanks.thanked.get()  # it has handled all events before it answers
        self.mailer.ask(Drain(timeout=60))
        self.mailer.stop()
        pykka.ActorRegistry.stop_all()


if __name__ == "__main__":
    jukebox = Jukebox(
        sys.argv[1] if len(sys.argv) > 1 else "localhost",
        int(sys.argv[2]) if len(sys.argv) > 2 else 25,
    )
    jukebox.core.play("Kaya", "you@example.org").get()
    jukebox.core.play("Exodus", "her@example.org").get()
    thanks, watch = jukebox.thanks, jukebox.watch
    thanks.thanked.get()
    jukebox.mailer.ask(Drain(timeout=60))
    print("thanked:", sorted(thanks.thanked.get()))
    print("failures:", watch.failures.get())
    jukebox.stop()
