"""The options of a delivery, and what real servers make of them."""

import datetime as dt
from collections.abc import Callable
from typing import Any

import pytest
from servers.waiting import wait_until

from pykka_smtp import (
    DeliverBy,
    Dsn,
    FailureKind,
    SendFailure,
    SendMail,
    SendSuccess,
    SmtpActor,
    Stage,
)

PATIENCE = 30.0  # seconds; reached only by a test that fails

TO = ("c@d.test", "e+f=g@d.test", '"h i"@d.test')
DSNS = [
    Dsn(notify="never"),
    Dsn(notify={"success", "failure", "delay"}, ret="hdrs"),
    Dsn(ret="full", envid='a+b=c d"<>~!'),
    Dsn(envid="x" * 100, orcpt=True),
    Dsn(notify="failure", orcpt={TO[1]: '"who is+this="@x.test', TO[2]: "c@b\u00fccher.test"}),
]

Start = Callable[..., Any]


@pytest.fixture(params=["postfix_smtpd", pytest.param("exim_smtpd", marks=pytest.mark.servers)])
def server_with_dsn(request: pytest.FixtureRequest) -> Any:
    start: Start = request.getfixturevalue(request.param)
    return start()


def send(server: Any, **given: Any) -> Any:
    mail = SendMail(**{"sender": "a@b.test", "recipients": TO, "body": "Hello", **given})
    return SmtpActor.start(server.host, server.port, tls="off", debug=True).ask(
        mail, timeout=PATIENCE
    )


@pytest.mark.real
@pytest.mark.parametrize(
    "dsn", DSNS, ids=["never", "always", "an odd envid", "a long envid", "orcpt"]
)
def test_a_server_with_dsn_takes_what_is_asked_for(dsn: Dsn, server_with_dsn: Any) -> None:
    outcome = send(server_with_dsn, dsn=dsn)

    assert isinstance(outcome, SendSuccess), outcome
    assert (outcome.refused, outcome.warnings) == ((), ())
    commands = [line for line in outcome.transcript if line.startswith(("C: MAIL", "C: RCPT"))]
    wanted = [*dsn.for_mail, *(word for path in TO for word in dsn.for_rcpt(path))]
    assert wanted
    assert all(any(word in line for line in commands) for word in wanted)


@pytest.mark.real
def test_a_server_with_smtputf8_takes_an_original_recipient_beyond_ascii(
    postfix_smtpd: Start,
) -> None:
    to = ("jos\u00e9@d.test", "c@b\u00fccher.test", "\u4e2d+\u6587@d.test")

    outcome = send(postfix_smtpd(), recipients=to, dsn=Dsn(orcpt=True))

    assert isinstance(outcome, SendSuccess), outcome
    assert outcome.refused == ()
    assert "C: RCPT TO:<jos\u00e9@d.test> ORCPT=utf-8;jos\\x{E9}@d.test" in outcome.transcript


@pytest.mark.real
def test_a_server_without_smtputf8_takes_a_domain_beyond_ascii(postfix_smtpd: Start) -> None:
    server = postfix_smtpd(withhold=["SMTPUTF8"], keep=True)

    outcome = send(server, recipients="c@b\u00fccher.test")

    assert isinstance(outcome, SendSuccess), outcome
    assert outcome.recipients[0].address == "c@b\u00fccher.test"
    assert wait_until(lambda: server.mails, PATIENCE)
    (mail,) = server.mails
    assert mail.recipients == ("c@xn--bcher-kva.test",)


def test_a_server_without_dsn_takes_the_mail_and_the_outcome_says_so(
    aiosmtpd_server: Start,
) -> None:
    outcome = send(aiosmtpd_server(), dsn=Dsn(notify="never"), priority=2)

    assert isinstance(outcome, SendSuccess), outcome
    assert [warning.split(" ", 1)[1] for warning in outcome.warnings] == [
        "offers no MT-PRIORITY (RFC 6710): the email went without its priority",
        "offers no DSN (RFC 3461): it may send notifications all the same",
    ]


@pytest.mark.parametrize(
    ("given", "kind"),
    [
        ({"deliver_by": DeliverBy(seconds=60, on_expiry="return")}, FailureKind.LOCAL),
        ({"hold_for": 60}, FailureKind.LOCAL),
        ({"hold_until": dt.datetime(2030, 1, 1, tzinfo=dt.UTC)}, FailureKind.LOCAL),
        ({"require_tls": True}, FailureKind.SECURITY),
    ],
    ids=repr,
)
def test_a_server_that_cannot_do_what_must_be_gets_no_mail(
    given: dict[str, Any], kind: FailureKind, aiosmtpd_server: Start
) -> None:
    server = aiosmtpd_server()

    outcome = send(server, **given)

    assert isinstance(outcome, SendFailure)
    assert (outcome.kind, outcome.stage) == (kind, Stage.MAIL)
    assert server.mails == ()
    assert not any(line.startswith("C: MAIL") for line in outcome.transcript)
