"""A server that takes only some recipients at a time, and says so when it has got them."""

import pytest
from conversations.esmtp_rig import EsmtpRig
from conversations.rig import SERVER
from hypothesis import given
from hypothesis import strategies as st

from pykka_smtp.smtp.mail.content import StreamedContent
from pykka_smtp.smtp.session.transaction.recipients import Recipient
from pykka_smtp.smtp.words.reply import Reply
from pykka_smtp.smtp.words.stage import Stage

OK = "250 ok"
MANY = "452 4.5.3 too many recipients"


def people(count: int) -> tuple[str, ...]:
    return tuple(f"u{number}@d.test" for number in range(1, count + 1))


def converse(
    rig: EsmtpRig, takes: int, *, many: str = MANY, most_transactions: int = 1000
) -> list[list[str]]:
    """Be a server that takes so many; return the recipients of each transaction that it took."""
    transactions: list[list[str]] = []
    taken: list[str] = []
    for _ in range(10_000):
        if rig.verdict is not None:
            break
        for line in rig.lines():
            verb = line.split(" ")[0]
            if verb == "MAIL":
                taken = []
                rig.say(OK)
            elif verb == "RCPT":
                if len(taken) < takes and len(transactions) < most_transactions:
                    taken.append(line[9:-1])
                    rig.say(OK)
                else:
                    rig.say(many)
            elif verb == "DATA":
                rig.say("354 go" if taken else "503 nobody")
                if taken:
                    rig.data()
                    transactions.append(taken)
                    rig.say("250 taken")
            else:
                rig.say(OK)
    return transactions


@pytest.mark.parametrize("pipelining", [False, True])
@pytest.mark.parametrize(
    "many", [MANY, "452 too many", "552 5.5.3 too many", "552 too many", "452 5.5.3 too many"]
)
def test_those_who_were_too_many_have_the_next_transaction(many: str, *, pipelining: bool) -> None:
    rig = EsmtpRig(*people(7), offers=["PIPELINING"] if pipelining else []).greet()

    transactions = converse(rig, 3, many=many)

    assert [len(taken) for taken in transactions] == [3, 3, 1]
    assert sorted(path for taken in transactions for path in taken) == list(people(7))
    assert rig.told == ["accepted"] * 7
    assert rig.accepted.warnings == ()


def test_a_server_is_offered_no_more_recipients_than_it_took() -> None:
    rig = EsmtpRig(*people(250), offers=["PIPELINING"]).greet()

    transactions = converse(rig, 10)

    assert len(transactions) == 25
    assert rig.told == ["accepted"] * 250
    assert rig.told.count("accepted") == 250


@pytest.mark.parametrize(
    "reply",
    [
        "452 4.2.2 mailbox full",
        "452 4.3.1 disk full",
        "452 4.7.1 slow down",
        "452 5.2.2 mailbox full",
        "552 5.2.2 mailbox full",
        "450 4.5.3 too many",
        "451 later",
        "550 5.5.3 too many",
    ],
)
def test_a_recipient_who_was_refused_for_something_else_is_not_asked_about_again(
    reply: str,
) -> None:
    rig = EsmtpRig(*people(3)).greet()

    transactions = converse(rig, 2, many=reply)

    assert len(transactions) == 1
    word = "refused" if reply.startswith("550") else "later"
    assert rig.told == ["accepted", "accepted", f"{word} {reply[:3]}"]


def test_a_first_transaction_without_recipients_is_not_repeated() -> None:
    rig = EsmtpRig(*people(3)).greet()

    assert converse(rig, 0) == []

    assert rig.told == ["later 452"] * 3
    assert (rig.failed.stage, rig.failed.retryable) == (Stage.RCPT, True)


def test_a_server_that_accepts_no_further_recipient_is_asked_once_more() -> None:
    rig = EsmtpRig(*people(6)).greet()
    rcpts = 0
    lines = rig.lines

    def count() -> list[str]:
        nonlocal rcpts
        said = lines()
        rcpts += sum(line.startswith("RCPT") for line in said)
        return said

    rig.lines = count  # type: ignore[method-assign]

    transactions = converse(rig, 2, most_transactions=1)

    assert transactions == [["u1@d.test", "u2@d.test"]]
    # The next two were too many in a transaction of their own, and nobody asks for the others.
    assert rig.told == ["accepted", "accepted", *["later 452"] * 4]
    assert rcpts == 6 + 2


def test_a_rejected_email_is_not_tried_at_the_next_address() -> None:
    rig = EsmtpRig(*people(2)).greet()
    rig.say(OK, OK, MANY, "354 go")
    rig.lines()
    rig.data()
    rig.say("451 later")

    assert rig.told == ["later 451", "later 452"]


def test_a_mail_that_can_be_read_only_once_goes_to_those_who_were_taken() -> None:
    rig = EsmtpRig(*people(2), content=StreamedContent(None)).greet()
    rig.say(OK, OK, MANY, "354 go")
    rig.lines()
    assert rig.send_body()
    rig.say("250 taken")

    assert rig.told == ["accepted", "later 452"]


def test_a_connection_that_breaks_before_the_next_transaction_leaves_them_for_later() -> None:
    rig = EsmtpRig(*people(2)).greet()
    rig.say(OK, OK, MANY, "354 go")
    rig.lines()
    rig.data()
    rig.say("250 taken")
    rig.lose()

    assert rig.told == ["accepted", "later"]
    assert rig.accepted.left is None
    assert rig.accepted.recipients[1].retryable


def test_recipients_over_the_limit_are_in_the_next_transaction_with_lmtp_too() -> None:
    rig = EsmtpRig(*people(3), is_lmtp=True).greet()
    rig.say(OK, OK, OK, MANY, "354 go")
    rig.lines()
    rig.data()
    rig.say("250 taken", "550 not you")
    assert rig.line() == "MAIL FROM:<a@b.test>"
    rig.say(OK, OK, "354 go")
    rig.lines()
    rig.data()
    rig.say("250 taken")

    assert rig.told == ["accepted", "refused 550", "accepted"]


def test_the_last_transaction_that_is_allowed_leaves_the_others_to_another_session() -> None:
    rig = EsmtpRig(*people(5), offers=["LIMITS MAILMAX=2"]).greet()

    assert len(converse(rig, 2)) == 2

    assert rig.told == ["accepted"] * 4 + ["later"]
    left = rig.accepted.left
    assert left is not None
    assert left.paths == ("u5@d.test",)
    assert rig.accepted.warnings == (left.warning,)
    assert left.warning == (
        f"{SERVER} takes 2 emails in a session (LIMITS MAILMAX);"
        " 1 of 5 recipients not tried, send to them again"
    )


def test_recipients_of_whom_none_was_taken_for_want_of_room_are_left_as_well() -> None:
    rig = EsmtpRig(*people(3), offers=["LIMITS RCPTMAX=1 MAILMAX=2"]).greet()
    rig.say(OK, "550 who?", OK, OK, "550 who?")

    left = rig.failed.left
    assert left is not None
    assert left.paths == ("u3@d.test",)
    assert rig.told == ["refused 550", "refused 550", "later"]


@given(count=st.integers(1, 40), takes=st.integers(1, 12), pipelining=st.booleans())
def test_there_are_never_more_transactions_than_it_takes(
    count: int, takes: int, *, pipelining: bool
) -> None:
    rig = EsmtpRig(*people(count), offers=["PIPELINING"] if pipelining else []).greet()

    transactions = converse(rig, takes)

    assert len(transactions) == -(-count // takes)
    assert rig.told == ["accepted"] * count


@pytest.mark.parametrize(
    ("code", "text", "expected"),
    [
        (452, "", True),
        (452, "4.5.3", True),
        (452, "too many 4.5.3", True),
        (452, "4.5.30 x", False),
        (452, "4.2.2 not 4.5.3", False),
        (452, "4.3.1 disk full", False),
        (452, "4.7.1 slow down", False),
        (552, "5.5.3 x", True),
        (553, "5.5.3 x", False),
    ],
)
def test_what_says_that_a_recipient_is_one_too_many(
    code: int, text: str, *, expected: bool
) -> None:
    recipient = Recipient("c@d.test")
    recipient.rcpt_reply = recipient.final_reply = Reply(code, (text,))

    assert recipient.is_over_limit is expected
