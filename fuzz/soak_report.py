"""What the soak found: what was told and heard of each mail, beside what the servers wrote down."""

from dataclasses import dataclass, field

from .soak_journal import Found
from .soak_marks import MAY_DOUBLE, POSTED, TOLD, Marks

_MOST_WRONG = 50
"""Lines that tell of what was wrong."""
_SHOWN = 5
"""Mails that one of them names."""


@dataclass(slots=True)
class SoakReport:
    """The figures of a run.

    Attributes:
        seconds: how long mails were told.
        is_interrupted: whether it was ended before its time.
        figures: what was counted, by name.
        wrong: a line for each thing that must not be.
    """

    seconds: float = 0.0
    is_interrupted: bool = False
    figures: dict[str, object] = field(default_factory=dict[str, object])
    wrong: list[str] = field(default_factory=list[str])

    def insist(self, holds: object, what: str) -> None:
        """Note what does not hold. From any thread."""
        if not holds and len(self.wrong) < _MOST_WRONG:
            self.wrong.append(what)

    def text(self) -> str:
        """All of it, for people."""
        interrupted = ", interrupted" if self.is_interrupted else ""
        lines = [f"soak: {self.seconds:.1f} s{interrupted}"]
        lines += [f"  {name:24} {value}" for name, value in self.figures.items()]
        lines += [f"  WRONG: {what}" for what in self.wrong] or ["  nothing was wrong"]
        return "\n".join(lines)

    def compare(self, marks: Marks, found: Found) -> None:
        """Compare what was told, what was heard, and what the servers took.

        Args:
            marks: what was told and heard.
            found: what the servers wrote down.
        """
        wrong: dict[str, list[int]] = {name: [] for name in _WRONG}
        in_doubt = are_there = may_double = 0
        for number, flags in enumerate(marks.flags):
            taken, twice = found.taken.get(number, 0), found.twice.get(number, 0)
            for name in _judge(marks, number, taken, twice):
                wrong[name].append(number)
            maybe_accepted = marks.maybe_accepted[number]
            in_doubt += maybe_accepted != 0
            are_there += maybe_accepted & taken != 0
            may_double += bool(twice and flags & MAY_DOUBLE)
        unknown = sum(number >= len(marks.flags) for number in found.taken)
        told, outcomes = marks.told, sum(marks.heard)
        self.figures |= {
            "told": told,
            "outcomes": outcomes,
            **{name: len(numbers) for name, numbers in wrong.items()},
            "in doubt": f"{in_doubt} mails, of which {are_there} were taken",
            "under at_least_once": f"{may_double} mails came twice, as they may",
            "retries": f"{marks.retries}; attempts of a mail: {_spread(marks)}",
            "outcomes by kind": ", ".join(f"{n} {kind}" for kind, n in marks.kinds.most_common()),
            "sessions": f"{found.sessions}, {found.encrypted} under TLS;"
            f" {len(found.taken) / max(1, found.sessions):.1f} mails in each",
            "faults": f"{found.faults.total()} of {len(found.faults)} kinds,"
            f" {found.restarts} restarts",
        }
        for name, numbers in wrong.items():
            self.insist(not numbers, f"{name}: {len(numbers)} mails, such as {numbers[:_SHOWN]}")
        for line in (*marks.wrong[:_SHOWN], *found.complaints[:_SHOWN]):
            self.insist(holds=False, what=line)
        self.insist(told == outcomes, f"{told} mails told, {outcomes} outcomes")
        self.insist(not unknown, f"{unknown} mails came that nobody has told")
        self.insist("INTERNAL" not in str(self.figures["outcomes by kind"]), "a defect: INTERNAL")


_WRONG = ("missing", "double", "false successes", "lost", "came twice", "refused, and heard of")


def _judge(marks: Marks, number: int, taken: int, twice: int) -> list[str]:
    """Name what is wrong with one mail.

    Args:
        marks: what was told and heard of it.
        number: which one.
        taken: a bit for each recipient for whom it was accepted.
        twice: the same, where that was more than once.
    """
    flags, heard = marks.flags[number], marks.heard[number]
    accepted, maybe_accepted = marks.accepted[number], marks.maybe_accepted[number]
    if not flags & TOLD:
        return ["refused, and heard of"] if heard or taken else []
    names: list[str] = []
    if not heard:
        names.append("missing")
    if heard > 1:
        names.append("double")
    if bool(flags & POSTED) * heard != marks.posted[number]:
        names.append("double" if marks.posted[number] > heard else "missing")
    if accepted & ~taken:
        names.append("false successes")
    if heard and taken & ~(accepted | maybe_accepted):
        names.append("lost")
    if twice and not flags & MAY_DOUBLE:
        names.append("came twice")
    return names


def _spread(marks: Marks) -> str:
    return ", ".join(f"{attempts}: {count}" for attempts, count in sorted(marks.attempts.items()))
