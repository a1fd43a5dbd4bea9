"""What the chaos test found: what was heard of each mail, beside what the server really did."""

import dataclasses
import sys
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pykka_smtp import Outcome, SendFailure

_MOST_WRONG = 50
"""Lines that tell of what was wrong."""


def address(number: int, recipient: int) -> str:
    """Name a recipient of a mail by its number."""
    return f"r{number}.{recipient}@b.test"


@dataclass(frozen=True, slots=True)
class Given:
    """What was given to send. Little is kept of each mail, or memory could not be measured.

    Attributes:
        recipients: how many.
        size: octets of the mail.
        is_told: whether `outcome_to` was set.
    """

    recipients: int
    size: int
    is_told: bool = False


@dataclass(slots=True)
class Heard:
    """What receivers heard of one mail.

    Attributes:
        count: how many outcomes.
        kind: which one, in a word or two.
        results: how many results it had, if they were those of its recipients in order; else -1.
        accepted: a bit for each recipient.
        maybe_accepted: the same.
    """

    count: int = 0
    kind: str = ""
    results: int = 0
    accepted: int = 0
    maybe_accepted: int = 0

    def hear(self, outcome: Outcome) -> None:
        """Note an outcome."""
        results = outcome.recipients
        self.count += 1
        in_order = [result.address for result in results] == [*outcome.mail.all_recipients]
        self.results = len(results) if in_order else -1
        self.accepted = sum(one.accepted << bit for bit, one in enumerate(results))
        self.maybe_accepted = sum(one.maybe_accepted << bit for bit, one in enumerate(results))
        if isinstance(outcome, SendFailure):
            kind = outcome.kind.name + (", in doubt" if outcome.maybe_accepted else "")
        else:
            is_whole = all(result.accepted for result in results)
            kind = "accepted" if is_whole else "accepted, in part"
        self.kind = sys.intern(kind)


def size_of_notes(given: Mapping[int, Given], heard: Mapping[int, Heard]) -> int:
    """Return the bytes that the run's own notes take: they grow with each email."""
    total = sys.getsizeof(given) + sys.getsizeof(heard)
    notes: list[tuple[int, Given | Heard]] = [*list(given.items()), *list(heard.items())]
    for number, note in notes:
        fields = (number, note, *(getattr(note, one.name) for one in dataclasses.fields(note)))
        # Small numbers, and the names of kinds, are shared.
        total += sum(map(sys.getsizeof, (one for one in fields if not _is_shared(one))))
    return total


def _is_shared(value: object) -> bool:
    return isinstance(value, str) or (isinstance(value, int) and -5 <= value <= 256)


@dataclass(slots=True)
class ChaosReport:
    """The figures of a run.

    Attributes:
        sends: how many mails were sent.
        seconds: how long that took.
        figures: what was counted, by name.
        wrong: a line for each thing that must not be.
    """

    sends: int
    seconds: float = 0.0
    figures: dict[str, object] = field(default_factory=dict[str, object])
    wrong: list[str] = field(default_factory=list[str])

    def insist(self, holds: object, what: str) -> None:
        """Note what does not hold. From any thread."""
        if not holds and len(self.wrong) < _MOST_WRONG:
            self.wrong.append(what)

    def text(self) -> str:
        """All of it, for people."""
        lines = [f"chaos: {self.sends} sends in {self.seconds:.1f} s"]
        lines += [f"  {name:24} {value}" for name, value in self.figures.items()]
        lines += [f"  WRONG: {what}" for what in self.wrong] or ["  nothing was wrong"]
        return "\n".join(lines)

    def compare(
        self, given: Mapping[int, Given], heard: Mapping[int, Heard], book: Mapping[str, Any]
    ) -> None:
        """Compare what was given, what was heard of it, and what the server's book says.

        Args:
            given: what was sent, by number; negative ones are not in the book.
            heard: what was heard of each.
            book: what the server did with each.
        """
        missing = [number for number in given if number not in heard]
        double = [number for number, one in heard.items() if one.count != 1]
        self.insist(not missing, f"{len(missing)} mails have no outcome: {missing[:5]}")
        self.insist(not double, f"{len(double)} mails have several outcomes: {double[:5]}")
        for complaint in book["complaints"]:
            self.insist(holds=False, what=f"the server complains: {complaint}")
        lies: Counter[str] = Counter()
        for number, one in heard.items():
            self._judge(number, given[number], one, book["mails"].get(str(number), []), lies)
        kinds = Counter(one.kind for one in heard.values())
        self.insist(not any("INTERNAL" in kind for kind in kinds), "a defect of ours: INTERNAL")
        recipients = sum(one.recipients for one in given.values())
        results = sum(one.results for one in heard.values())
        self.figures |= {
            "outcomes": f"{len(heard)} of {len(given)} mails,"
            f" {len(missing)} missing, {len(double)} double",
            "results": f"{results} for {recipients} recipients",
            "false successes": lies["accepted, and was not"],
            "false failures": lies["not sent, and may be there"],
            "sessions": f"{book['sessions']}, {book['encrypted']} under TLS,"
            f" {sum(book['faults'].values())} hit by a fault, of {len(book['faults'])} kinds",
            "outcomes by kind": ", ".join(f"{n} {kind}" for kind, n in kinds.most_common()),
        }

    def _judge(
        self,
        number: int,
        given: Given,
        heard: Heard,
        entries: list[dict[str, Any]],
        lies: Counter[str],
    ) -> None:
        """Compare one mail's results with what the server did with it."""
        self.insist(heard.results == given.recipients, f"mail {number}: not its recipients")
        if number < 0:
            return
        for bit in range(given.recipients):
            accepted, maybe_accepted = heard.accepted >> bit & 1, heard.maybe_accepted >> bit & 1
            to = address(number, bit)
            own = [e for e in entries if e["to"] == to and e["size"] is not None]
            verdicts = [entry["verdict"] for entry in own]
            taken = any(code is not None and 200 <= code <= 299 for code in verdicts)
            undecided = any(code is None or 300 <= code <= 399 for code in verdicts)
            lie = ""
            if accepted and not taken:
                lie = "accepted, and was not"
            elif (taken or undecided) and not (accepted or maybe_accepted):
                lie = "not sent, and may be there"
            lies[lie] += 1
            self.insist(not lie, f"{to}: {lie}: {heard.kind}, {own}")
            for entry in own:
                right = entry["size"] == given.size
                self.insist(right, f"{to}: {entry['size']} octets of {given.size} came")
