"""What the chaos test found: what was heard of each mail, beside what the server really did."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pykka_smtp import Outcome, SendFailure, SendMail

_MOST_WRONG = 50
"""Lines that tell of what was wrong."""


@dataclass(slots=True)
class Heard:
    """What receivers heard of one mail.

    Attributes:
        count: how many outcomes.
        kind: which one, in a word or two.
        elapsed: seconds.
        results: for each recipient: address, accepted, maybe accepted.
    """

    count: int = 0
    kind: str = ""
    elapsed: float = 0.0
    results: tuple[tuple[str, bool, bool], ...] = ()

    def hear(self, outcome: Outcome) -> None:
        """Note an outcome."""
        self.count += 1
        self.elapsed = outcome.elapsed
        self.results = tuple((r.address, r.accepted, r.maybe_accepted) for r in outcome.recipients)
        if isinstance(outcome, SendFailure):
            self.kind = outcome.kind.name + (", in doubt" if outcome.maybe_accepted else "")
        else:
            is_whole = all(result.accepted for result in outcome.recipients)
            self.kind = "accepted" if is_whole else "accepted, in part"


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
        self,
        given: Mapping[int, SendMail],
        heard: Mapping[int, Heard],
        book: Mapping[str, Any],
        *,
        limit: float,
    ) -> None:
        """Compare what was given, what was heard of it, and what the server's book says.

        Args:
            given: the mails by number; negative ones are not in the book.
            heard: what was heard of each.
            book: what the server did with each.
            limit: seconds that an outcome may take.
        """
        missing = [number for number in given if number not in heard]
        double = [number for number, one in heard.items() if one.count != 1]
        late = [number for number, one in heard.items() if one.elapsed > limit]
        self.insist(not missing, f"{len(missing)} mails have no outcome: {missing[:5]}")
        self.insist(not double, f"{len(double)} mails have several outcomes: {double[:5]}")
        self.insist(not late, f"{len(late)} outcomes came too late: {late[:5]}")
        for complaint in book["complaints"]:
            self.insist(holds=False, what=f"the server complains: {complaint}")
        lies: Counter[str] = Counter()
        for number, one in heard.items():
            self._judge(number, given[number], one, book["mails"].get(str(number), []), lies)
        kinds = Counter(one.kind for one in heard.values())
        self.insist(not any("INTERNAL" in kind for kind in kinds), "a defect of ours: INTERNAL")
        slowest = max((one.elapsed for one in heard.values()), default=0.0)
        recipients = sum(len(mail.all_recipients) for mail in given.values())
        results = sum(len(one.results) for one in heard.values())
        self.figures |= {
            "outcomes": f"{len(heard)} of {len(given)} mails,"
            f" {len(missing)} missing, {len(double)} double",
            "results": f"{results} for {recipients} recipients",
            "false successes": lies["accepted, and was not"],
            "false failures": lies["not sent, and may be there"],
            "hangs": f"{len(late)} (the slowest outcome took {slowest:.2f} s of {limit:g})",
            "sessions": f"{book['sessions']}, {sum(book['faults'].values())} hit by a fault,"
            f" of {len(book['faults'])} kinds",
            "outcomes by kind": ", ".join(f"{n} {kind}" for kind, n in kinds.most_common()),
        }

    def _judge(
        self,
        number: int,
        mail: SendMail,
        heard: Heard,
        entries: list[dict[str, Any]],
        lies: Counter[str],
    ) -> None:
        """Compare one mail's results with what the server did with it."""
        addresses = tuple(address for address, _, _ in heard.results)
        self.insist(addresses == mail.all_recipients, f"mail {number}: not its recipients")
        if number < 0:
            return
        for address, accepted, maybe_accepted in heard.results:
            own = [e for e in entries if e["to"] == address and e["size"] is not None]
            verdicts = [entry["verdict"] for entry in own]
            taken = any(code is not None and 200 <= code <= 299 for code in verdicts)
            undecided = any(code is None or 300 <= code <= 399 for code in verdicts)
            lie = ""
            if accepted and not taken:
                lie = "accepted, and was not"
            elif (taken or undecided) and not (accepted or maybe_accepted):
                lie = "not sent, and may be there"
            lies[lie] += 1
            self.insist(not lie, f"{address}: {lie}: {heard.kind}, {own}")
            for entry in own:
                right = entry["size"] == mail.context
                self.insist(right, f"{address}: {entry['size']} octets of {mail.context} came")
