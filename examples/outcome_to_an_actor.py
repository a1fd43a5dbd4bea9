"""Have the outcome told to an actor: it arrives in the inbox, like any other message.

Run it as ``python examples/outcome_to_an_actor.py [host [port]]``.
"""

import sys
from dataclasses import dataclass

import pykka

from pykka_smtp import Outcome, SendFailure, SendMail, SendSuccess, SmtpActor

server = sys.argv[1] if len(sys.argv) > 1 else "localhost"
port = int(sys.argv[2]) if len(sys.argv) > 2 else 25


@dataclass(frozen=True)
class SignUp:
    """Somebody wants an account."""

    address: str


class Registration(pykka.ThreadingActor):
    """Mails each new user, and knows who could be reached; needs no lock for that."""

    def __init__(self) -> None:
        super().__init__()
        self.reached: list[str] = []

    def on_receive(self, message: SignUp | Outcome) -> None:
        """Handle what comes in, one message after the other."""
        match message:
            case SignUp(address):
                self.welcome(address)
            case SendSuccess(context=address):
                self.reached.append(address)
                print("reached so far:", self.reached)
                self.stop()
            case SendFailure(context=address, detail=detail):
                print(f"{address} could not be reached: {detail}")
                self.stop()

    def welcome(self, address: str) -> None:
        """Send the mail; never waits for it."""
        mail = SendMail(
            sender="welcome@example.com",
            recipients=address,
            subject="Welcome",
            body="Good to have you here.",
            context=address,
            outcome_to=self.actor_ref,
        )
        SmtpActor.start(server, port).tell(mail)


registration = Registration.start()
registration.tell(SignUp("you@example.org"))
# The main thread of a program with actors waits for something; here for the end of one.
registration.actor_stopped.wait()
