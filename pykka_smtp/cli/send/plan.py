"""What `BulkSend` is given: the emails, and who notes what became of them."""

from collections.abc import Iterable, Iterator
from typing import Any, Protocol

from ...signals import SendMail
from ...signals.tellable import Tellable
from ..output.report import Report
from ..output.results import Row


class Addressed(Protocol):
    """An email, or one that is not made because it will not be sent."""

    @property
    def all_recipients(self) -> tuple[str, ...]:
        """The addresses."""
        ...

    @property
    def context(self) -> Any:
        """What the plan knows it by."""
        ...


class Plan(Protocol):
    """What to send to whom."""

    def __len__(self) -> int:
        """Return the number of recipients."""
        ...

    def mails(self, outcome_to: Tellable) -> Iterator[SendMail]:
        """Yield the emails, each made when it is needed.

        Args:
            outcome_to: receives their outcomes.

        Raises:
            OSError: no more may be sent, because what was sent cannot be noted.
        """
        ...

    def rest(self, mails: Iterator[SendMail]) -> Iterable[Addressed]:
        """Yield what is not sent.

        Args:
            mails: the emails that were not taken.
        """
        ...


class Records(Protocol):
    """Where the results go. All may raise an `OSError`."""

    def write(self, row: Row, mail: Addressed) -> None:
        """Note the result of one recipient of an email."""
        ...

    def salvage(self, row: Row, mail: Addressed) -> None:
        """Note a result where it still can be, after `write` or `flush` has failed."""
        ...

    def flush(self) -> None:
        """Save what was noted."""
        ...


class OneReport:
    """A report, and nothing else.

    Args:
        report: the report.
    """

    def __init__(self, report: Report) -> None:
        self._report = report

    def write(self, row: Row, mail: Addressed) -> None:  # noqa: ARG002
        """Write a row of the report."""
        self._report.write(row)

    def salvage(self, row: Row, mail: Addressed) -> None:
        """Do nothing: there is no other place."""

    def flush(self) -> None:
        """Flush the report."""
        self._report.flush()
