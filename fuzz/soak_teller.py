"""One thread of the soak: tells a Mailer mails, ends it in one way or another, starts the next."""

import random
import threading
import time
from collections import Counter, deque
from pathlib import Path
from typing import IO, Any, Protocol

from pykka import ActorDeadError

from pykka_smtp import Drain, Mailer, Outcome, SendMail, SmtpActor, Statistics

from .soak_mail import LARGE, MAX_RECIPIENTS, SMALL, mail_data, recipients, sender
from .soak_marks import MAY_DOUBLE, POSTED, Marks
from .soak_parts import GRACE, Part
from .soak_report import SoakReport
from .surroundings import PATIENCE

STOP = GRACE + 3.0
"""Seconds that a Mailer may take to stop."""
_LIVES = (0.5, 6.0)
"""Seconds that one lives, at least and at most."""
_DRAINS = 5.0
_WAIT = 0.004
_FEW = 5
_MOST_ANSWERS = 100


class Stage(Protocol):
    """What the teller plays on."""

    marks: Marks
    report: SoakReport
    heard: Counter[str]
    folder: Path
    is_calm: bool

    @property
    def is_over(self) -> bool:
        """Whether nothing more is to be told."""
        ...

    def tell(self, message: Any, /) -> object:
        """Take an outcome."""
        ...


class Teller(threading.Thread):
    """One thread.

    Args:
        stage: what it plays on.
        part: which part it plays.
        seed: of all that is random.
    """

    def __init__(self, stage: Stage, part: Part, seed: int) -> None:
        super().__init__(name=f"soak-{part.name}")
        self.lives = 0
        self._stage = stage
        self._part = part
        self._chance = random.Random(f"{seed} {part.name}")
        self._told = 0
        self._files: dict[int, tuple[Path, IO[bytes] | None]] = {}
        self._answers: deque[tuple[SendMail, Any]] = deque()

    def run(self) -> None:
        """Live one life after the other, until it is over."""
        try:
            while not self._stage.is_over:
                if self._part.is_mailer:
                    self.lives += 1
                    self._be_a_mailer()
                else:
                    self._send_singly()
        except Exception as error:  # or the thread would end, and nobody would know why
            self._stage.report.insist(holds=False, what=f"{self._part.name}: {error!r}")
        finally:
            self._look_at_answers(0)
            for number in list(self._files):
                self.forget_file(number)

    def forget_file(self, number: int) -> None:
        """Remove the file of a mail that has its outcome, if it came from one."""
        path, file = self._files.pop(number, (None, None))
        if file is not None:
            file.close()
        if path is not None:
            path.unlink()

    @property
    def _has_room(self) -> bool:
        # In the warm-up, which is calm, a few are enough.
        most = min(_FEW, self._part.most) if self._stage.is_calm else self._part.most
        return self._told - self._stage.heard[self._part.name] < most

    def _be_a_mailer(self) -> None:
        stage, part, chance = self._stage, self._part, self._chance
        ref = Mailer.start(alias=part.name, **part.options)
        end = time.monotonic() + chance.uniform(*_LIVES)
        while not stage.is_over and time.monotonic() < end:
            if not self._has_room:
                time.sleep(_WAIT)
                continue
            for _ in range(1 if stage.is_calm else chance.randint(1, part.burst)):
                self._tell(ref)
            self._look_at_answers(_MOST_ANSWERS)
            if part.rest:
                time.sleep(part.rest)
            if part.pause and chance.random() < 1 / 40:
                time.sleep(part.pause)
        self._look_at_statistics(ref)
        if (stage.is_over and stage.is_calm) or (not stage.is_over and chance.random() < 1 / 3):
            self._drain(ref)
        self._end_life(ref)

    def _drain(self, ref: Any) -> None:
        """Wait until all is out, which takes no time once the servers take all."""
        is_calm = self._stage.is_calm
        is_empty = ref.ask(Drain(timeout=PATIENCE if is_calm else _DRAINS), timeout=2 * PATIENCE)
        self._stage.report.insist(
            is_empty or not is_calm, f"{self._part.name}: mails stay with servers that take all"
        )

    def _end_life(self, ref: Any) -> None:
        began = time.monotonic()
        if self._chance.random() < 1 / 2:
            stopping = ref.stop(block=False)
            self._tell(ref)  # too late: it is refused, or cancelled
            stopping.get(timeout=PATIENCE)
        else:
            ref.stop(timeout=PATIENCE)
        took = time.monotonic() - began
        self._stage.report.insist(took < STOP, f"{self._part.name}: {took:.1f} s to stop")
        self._look_at_answers(0)

    def _look_at_statistics(self, ref: Any) -> None:
        """See that each mail is in one place."""
        it: Any = ref.ask(Statistics(), timeout=PATIENCE)
        places = it.queued + it.waiting_for_retry + it.in_flight + it.sent + it.failed
        self._stage.report.insist(it.submitted == places, f"{self._part.name}: {it} do not add up")

    def _send_singly(self) -> None:
        if not self._has_room:
            time.sleep(_WAIT)
            return
        self._tell(SmtpActor.start(alias=self._part.name, **self._part.options))

    # One mail.

    def _tell(self, ref: Any) -> None:
        """Tell a mail, or ask for its outcome."""
        marks, chance = self._stage.marks, self._chance
        count = chance.choice((1, 1, 1, 2, MAX_RECIPIENTS))
        is_posted = chance.random() < 1 / 30
        flags = MAY_DOUBLE * self._part.may_double | POSTED * is_posted
        number = marks.new(count, flags)
        mail = SendMail(
            sender=sender(number),
            recipients=recipients(count),
            message=self._message(number),
            outcome_to=self._stage if is_posted else None,
            context=self,
            id=f"{number}",
        )
        self._told += 1
        try:
            if chance.random() < 1 / 40:
                self._answers.append((mail, ref.ask(mail, block=False)))
            else:
                ref.tell(mail)
        except ActorDeadError:
            self._take_back(number)

    def _take_back(self, number: int) -> None:
        self._told -= 1
        self._stage.marks.untell(number)
        self.forget_file(number)

    def _message(self, number: int) -> Any:
        """Make the mail: most are small, some large, some in a file, or in one that is open."""
        which = self._chance.random()
        if which > 1 / 50:
            return mail_data(number, SMALL)
        data = mail_data(number, LARGE)
        if which > 1 / 150 or not self._part.is_mailer:
            return data
        path = self._stage.folder / f"{number}.mail"
        path.write_bytes(data)
        file = path.open("rb") if which > 1 / 300 else None
        self._files[number] = path, file
        return file or path

    def _look_at_answers(self, most: int) -> None:
        """See that whoever asked has got an answer: the outcome of that mail.

        Args:
            most: how many may be waited for.
        """
        while len(self._answers) > most:
            mail, answer = self._answers.popleft()
            try:
                outcome: Outcome = answer.get(timeout=PATIENCE)
            except ActorDeadError:
                # Asked too late: then there is no outcome, neither here nor as a signal.
                self._take_back(int(mail.id))
                continue
            except Exception as error:
                self._stage.report.insist(holds=False, what=f"mail {mail.id}: asked, {error!r}")
                continue
            is_right = outcome.mail is mail
            self._stage.report.insist(is_right, f"mail {mail.id}: another mail's outcome")
