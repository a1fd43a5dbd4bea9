"""`record_mails`: a test sees the emails that its program sends, and chooses their outcomes."""

import contextlib
from collections.abc import Generator, Iterator, Sequence
from typing import overload

from ...actors.net.outlets.diversion import diversion
from ...actors.net.outlets.outlet import Plan
from . import sends
from .plans import PlannedOutlet
from .recorded_mail import RecordedMail

_PATIENCE = 5.0


@contextlib.contextmanager
def record_mails(*, patience: float = _PATIENCE) -> Generator["RecordedMails", None, None]:
    """Record the emails of all actors of this process instead of sending them.

    ::

        with record_mails() as outbox:
            invite("you@example.org")  # the program, which tells an SmtpActor or a Mailer
            assert outbox[0].subject == "Party"

    It applies to each `SmtpActor` and `Mailer`, whatever its relay, also to those that were started
    before. Emails that are still waiting at the end of the block (for a retry, or for a reply that
    never comes) are cancelled, so that none of them leaves afterwards.

    Args:
        patience: seconds that a look at the outbox waits for emails on their way.
    """
    outlet = PlannedOutlet()
    outbox = RecordedMails(outlet, patience)
    diversion.begin(outlet)
    try:
        yield outbox
    finally:
        try:
            sends.wait_until_over(patience)
            sends.cancel_rest()
            sends.wait_until_over(patience)
        finally:
            diversion.end(outlet)


class RecordedMails(Sequence[RecordedMail]):
    """The recorded emails, in the order in which they were accepted.

    Each look at it (its length, an item, a loop) first waits until all emails that were told have
    their outcomes, and all receivers have heard them. So a test needs no waits of its own.
    """

    def __init__(self, outlet: PlannedOutlet, patience: float) -> None:
        """Use `record_mails`, which makes one."""
        self._outlet = outlet
        self._patience = patience
        self._parsed: dict[int, RecordedMail] = {}

    def __repr__(self) -> str:
        return f"<RecordedMails {list(self._recorded())}>"

    @overload
    def __getitem__(self, index: int) -> RecordedMail: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[RecordedMail]: ...
    def __getitem__(self, index: int | slice) -> RecordedMail | Sequence[RecordedMail]:
        """Return an email, or several.

        Raises:
            IndexError: there are not so many.
            TimeoutError: emails are still being sent.
        """
        self.wait()
        mails = self._recorded()
        if isinstance(index, int) and not -len(mails) <= index < len(mails):
            raise IndexError(f"the outbox has {len(mails)} emails, so none at {index}")
        return mails[index]

    def __len__(self) -> int:
        """Return the number of emails.

        Raises:
            TimeoutError: emails are still being sent.
        """
        self.wait()
        return len(self._recorded())

    def __iter__(self) -> Iterator[RecordedMail]:
        """Iterate over the emails that there are now.

        Raises:
            TimeoutError: emails are still being sent.
        """
        self.wait()
        return iter(self._recorded())

    def wait(self) -> None:
        """Wait until all emails that were told have their outcomes, and receivers have heard them.

        A receiver, or an actor on the loop thread, does not wait: it would wait for itself.

        Raises:
            TimeoutError: emails are still being sent; the text says which.
        """
        rest = sends.wait_until_over(self._patience)
        if rest:
            raise TimeoutError(f"not over after {self._patience:g} s: {rest}")

    def clear(self) -> None:
        """Forget the emails so far."""
        self.wait()
        self._outlet.kept.clear()

    def refuse(
        self,
        reply: str = "550 5.1.1 no such mailbox",
        *,
        to: str | None = None,
        times: int | None = None,
    ) -> None:
        """Reject emails.

        Args:
            reply: the server's reply to the recipient.
            to: emails to this recipient. Default: the next email, whatever recipients.
            times: so many emails. Default: all to this recipient, or one.
        """
        self._choose(Plan(reply=reply), to, times)

    def greylist(
        self,
        reply: str = "451 4.7.1 greylisted, try again later",
        *,
        to: str | None = None,
        times: int | None = 1,
    ) -> None:
        """Defer emails: a `Mailer` tries again. By default once. The arguments are as above."""
        self._choose(Plan(reply=reply), to, times)

    def lose_the_answer(self, *, to: str | None = None, times: int | None = None) -> None:
        """Take emails, and lose the connection before the reply: they are `maybe_accepted`."""
        self._choose(Plan(loses_the_answer=True), to, times)

    def time_out(self, *, to: str | None = None, times: int | None = None) -> None:
        """Let the timeout of the reply to the recipient expire, without the wait."""
        self._choose(Plan(times_out=True), to, times)

    def stay_silent(self, *, to: str | None = None, times: int | None = None) -> None:
        """Never reply to the recipient: the email waits for its timeout, or until it is stopped.

        No look at the outbox waits for such an email.
        """
        self._choose(Plan(), to, times)

    def _choose(self, plan: Plan, to: str | None, times: int | None) -> None:
        if times is None and to is None:
            times = 1
        self._outlet.choose(plan, to, times)

    def _recorded(self) -> tuple[RecordedMail, ...]:
        kept = self._outlet.kept.all()
        # Each is parsed once, however often it is looked at.
        self._parsed = {id(one): self._parsed.get(id(one)) or RecordedMail(one) for one in kept}
        return tuple(self._parsed.values())
