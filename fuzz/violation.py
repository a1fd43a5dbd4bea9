"""What a target raises when its invariant does not hold."""


class Violation(AssertionError):  # noqa: N818 - that is what it is
    """A rule that was broken."""


class Hang(Violation):
    """It goes on and on, or waits for what it will never get."""


class UndefinedOutcome(Violation):
    """No verdict, a second one, or one that contradicts itself."""


class FalseSuccess(Violation):
    """Something was called sent, or was read as a yes, that was not."""


def insist(holds: object, what: str, kind: type[Violation] = Violation) -> None:
    """Raise unless it holds.

    Args:
        holds: the rule.
        what: what is wrong if it does not hold.
        kind: which kind of wrong.

    Raises:
        Violation: it does not hold.
    """
    if not holds:
        raise kind(what)
