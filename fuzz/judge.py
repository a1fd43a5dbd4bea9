"""Compares a verdict with the ledger, at the moment in which it came."""

from pykka_smtp.smtp.session.opening.session import TlsPolicy
from pykka_smtp.smtp.words.verdict import Accepted, RecipientResult, Verdict

from .ledger import Ledger
from .scene import Mail, Scene
from .transaction import SERVICE_CLOSING, Rcpt, Transaction
from .violation import FalseSuccess, UndefinedOutcome, insist

_MOST_DETAIL = 560
_TOO_MANY = (452, 552)


def judge(
    scene: Scene, mail: Mail, ledger: Ledger, transactions: list[Transaction], verdict: Verdict
) -> str:
    """See that the verdict is the truth, for the mail and for each recipient.

    Args:
        scene: the session.
        mail: the mail.
        ledger: what was said in the session.
        transactions: those that were about this mail.
        verdict: what was said of it.

    Returns:
        What became of the mail, in a word or two.

    Raises:
        Violation: it is not.
    """
    paths = mail.envelope.forward_paths
    results = verdict.recipients
    insist([r.address for r in results] == [*paths], "not the recipients", UndefinedOutcome)
    named = _named(transactions, mail)
    fates = [
        _fate(*named[number], ledger) if number in named else False for number in range(len(paths))
    ]
    for result, fate in zip(results, fates, strict=True):
        _judge_recipient(result, fate)
    _check_policy(scene, ledger)
    insist(len(set(verdict.warnings)) == len(verdict.warnings), "a warning twice")
    in_doubt = None in fates
    if isinstance(verdict, Accepted):
        insist(any(r.accepted for r in results), "accepted for nobody", FalseSuccess)
        codes = {rcpt.verdict for t in transactions for rcpt in t.rcpts}
        insist(verdict.reply.code in codes, "a reply that never came", FalseSuccess)
        insist(verdict.reply.is_positive, "accepted by a refusal", FalseSuccess)
        return "accepted, in part" if not all(r.accepted for r in results) else "accepted"
    insist(not any(r.accepted for r in results), "failed, and accepted", UndefinedOutcome)
    insist(
        verdict.maybe_accepted is in_doubt,
        f"maybe_accepted is {verdict.maybe_accepted}: {verdict.detail}",
        UndefinedOutcome,
    )
    insist(not (verdict.maybe_accepted and verdict.retryable), "a duplicate", UndefinedOutcome)
    insist(verdict.detail.isprintable(), "a detail of several lines")
    insist(0 < len(verdict.detail) <= _MOST_DETAIL, "a detail that nobody reads")
    kind = verdict.kind.name
    return f"in doubt ({kind})" if in_doubt else f"{kind} at {verdict.stage}"


def _named(transactions: list[Transaction], mail: Mail) -> dict[int, tuple[Transaction, Rcpt]]:
    """For each recipient by number, the transaction and the command that was its own."""
    numbers = {}
    for number, path in enumerate(mail.envelope.forward_paths):
        local, at, domain = path.rpartition("@")
        # A domain may go out with A-labels; nothing else may change.
        numbers[path] = numbers[local + at + domain.encode("idna").decode()] = number
    named: dict[int, tuple[Transaction, Rcpt]] = {}
    for transaction in transactions:
        for rcpt in transaction.rcpts:
            number = numbers.get(rcpt.path.decode(), -1)
            insist(number >= 0, f"a recipient that was not given: {rcpt.path!r}")
            before = named.get(number)
            # Who was one too many in one transaction is named in another (RFC 5321 §4.5.3.1.10).
            is_again = before is None or before[1].code in _TOO_MANY
            insist(is_again, f"a recipient that was named twice: {rcpt.path!r}")
            named[number] = transaction, rcpt
    return named


def _fate(transaction: Transaction, rcpt: Rcpt, ledger: Ledger) -> bool | None:
    """Whether the server took the mail for a recipient; None where nobody can know."""
    if transaction.is_in_doubt:
        return None
    if not transaction.may_have_it(rcpt):
        return False
    code = rcpt.verdict
    if transaction.too_early and transaction.end_code == SERVICE_CLOSING:
        return False  # the server leaves, and began to say so before it had the mail for anybody
    if transaction.is_unclear or transaction.too_early or code is None or 300 <= code <= 399:
        return None
    if code >= 400 and not ledger.is_lmtp:
        return False
    # Octets behind the last verdict: was this the one, or is it the next? Of several verdicts, none
    # can be told from its neighbour then.
    if ledger.has_more and not transaction.is_settled and not ledger.owed:
        return None
    return code <= 299


def _judge_recipient(result: RecipientResult, fate: bool | None) -> None:
    who = result.address
    insist(not result.accepted or fate is True, f"{who}: not taken", FalseSuccess)
    insist(result.accepted or fate is not True, f"{who}: taken", UndefinedOutcome)
    insist(result.maybe_accepted is (fate is None), f"{who}: doubt, or none", UndefinedOutcome)
    insist(
        not result.retryable or not (result.accepted or result.maybe_accepted),
        f"{who}: another attempt would make a duplicate",
        UndefinedOutcome,
    )
    insist(not result.accepted or result.reply is not None, f"{who}: no reply", UndefinedOutcome)


def _check_policy(scene: Scene, ledger: Ledger) -> None:
    """See that no mail went out below what was asked for."""
    if not ledger.transactions:
        return
    insist(scene.tls is not TlsPolicy.REQUIRED or ledger.in_tls, "a mail without TLS")
    insist(scene.authentication is None or ledger.is_authenticated, "a mail without AUTH")
