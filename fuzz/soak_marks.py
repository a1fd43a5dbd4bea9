"""What was told and heard of each mail of the soak: a few octets each, for memory is measured."""

import sys
import threading
from collections import Counter

from pykka_smtp import Outcome, SendFailure

TOLD = 1
"""It was told or asked, and not refused at once."""
MAY_DOUBLE = 2
"""It may come twice: the policy is at_least_once."""
POSTED = 4
"""It has an `outcome_to`."""


class Marks:
    """The clients' own book. `new` and `untell` are for any thread, `hear` for one only.

    Attributes:
        flags: for each mail by number, what it is.
        recipients: how many it has.
        heard: how many outcomes there were, up to 255.
        posted: how many of them came to `outcome_to`.
        accepted: a bit for each recipient that has it, as the outcome says.
        maybe_accepted: the same for those that may have it.
        kinds: how many outcomes there were of each kind.
        attempts: how many outcomes there were with so many attempts.
        wrong: what cannot be, one line each.
    """

    def __init__(self) -> None:
        self.flags = bytearray()
        self.recipients = bytearray()
        self.heard = bytearray()
        self.posted = bytearray()
        self.accepted = bytearray()
        self.maybe_accepted = bytearray()
        self.kinds: Counter[str] = Counter()
        self.attempts: Counter[int] = Counter()
        self.retries = 0
        self.wrong: list[str] = []
        self._lock = threading.Lock()

    def new(self, recipients: int, flags: int) -> int:
        """Give out the next number.

        Args:
            recipients: how many the mail has.
            flags: what it is; `TOLD` is added.
        """
        with self._lock:
            for book in (self.heard, self.posted, self.accepted, self.maybe_accepted):
                book.append(0)
            self.recipients.append(recipients)
            self.flags.append(flags | TOLD)
            return len(self.flags) - 1

    def untell(self, number: int) -> None:
        """Take back that a mail was told: it was refused at once, by an exception."""
        with self._lock:
            self.flags[number] &= ~TOLD

    @property
    def size(self) -> int:
        """The bytes that the book itself takes: it grows with each email."""
        books = (self.flags, self.recipients, self.heard, self.posted)
        return sum(map(sys.getsizeof, (*books, self.accepted, self.maybe_accepted)))

    @property
    def told(self) -> int:
        """How many were told."""
        return sum(flags & TOLD for flags in self.flags)

    def hear(self, outcome: Outcome) -> None:
        """Note an outcome."""
        number, results = int(outcome.mail.id), outcome.recipients
        self.heard[number] = min(255, self.heard[number] + 1)
        if [result.address for result in results] != [*outcome.mail.all_recipients]:
            self.wrong.append(f"mail {number}: results for others than its recipients")
        for bit, result in enumerate(results):
            self.accepted[number] |= result.accepted << bit
            self.maybe_accepted[number] |= result.maybe_accepted << bit
        if isinstance(outcome, SendFailure):
            kind = outcome.kind.name + (", in doubt" if outcome.maybe_accepted else "")
            if outcome.maybe_accepted is not any(result.maybe_accepted for result in results):
                self.wrong.append(f"mail {number}: not as its recipients say: {outcome}")
        else:
            is_whole = all(result.accepted for result in results)
            kind = "accepted" if is_whole else "accepted, in part"
        self.kinds[kind] += 1
        self.attempts[outcome.attempts] += 1

    def hear_retry(self, outcome: Outcome, attempt: int) -> None:
        """Note that a mail will be tried again."""
        number = int(outcome.mail.id)
        self.retries += 1
        if self.heard[number]:
            self.wrong.append(f"mail {number}: attempt {attempt} after its outcome")

    def hear_post(self, outcome: Outcome) -> None:
        """Note an outcome that came to `outcome_to`."""
        number = int(outcome.mail.id)
        self.posted[number] = min(255, self.posted[number] + 1)
