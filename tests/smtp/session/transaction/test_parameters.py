"""What MAIL and RCPT ask for: what is said, what is left out with a warning, what is not sent."""

import datetime as dt

import pytest
from conversations.esmtp_rig import EsmtpRig
from conversations.rig import SERVER
from hypothesis import given
from hypothesis import strategies as st

from pykka_smtp.smtp.mail.content import CompleteContent, StreamedContent
from pykka_smtp.smtp.mail.delivery_options import DeliverBy, DeliveryOptions, Dsn
from pykka_smtp.smtp.mail.envelope import Envelope
from pykka_smtp.smtp.mail.mail_data import MailFacts
from pykka_smtp.smtp.session.opening.session import Session
from pykka_smtp.smtp.session.transaction.parameters import prepare
from pykka_smtp.smtp.words.extensions import Extensions
from pykka_smtp.smtp.words.stage import Stage
from pykka_smtp.smtp.words.verdict import FailureKind

NOON = dt.datetime(2026, 11, 23, 12, 0, 0, tzinfo=dt.UTC)
ALL = ("DSN", "DELIVERBY", "FUTURERELEASE", "MT-PRIORITY", "REQUIRETLS")
RETURN = DeliverBy(seconds=60, on_expiry="return")
NOTIFY = DeliverBy(seconds=60, on_expiry="notify")
U_LABEL = "c@b\u00fccher.test"
A_LABEL = "c@xn--bcher-kva.test"
JOSE = "jos\u00e9@d.test"

EVERYTHING = DeliveryOptions(
    dsn=Dsn(notify={"success", "failure"}, ret="hdrs", envid="a b", orcpt=True),
    deliver_by=RETURN,
    hold_for=30,
    priority=4,
    require_tls=True,
)


def offered(
    *extensions: str, options: DeliveryOptions, to: str = "c@d.test", tls: bool | None = None
) -> EsmtpRig:
    return EsmtpRig(to, offers=extensions, options=options).greet(tls=tls)


def not_sent(rig: EsmtpRig, kind: FailureKind, detail: str) -> None:
    rig.say("221 bye")
    assert rig.lines() == ["QUIT"]
    failed = rig.failed
    assert (failed.kind, failed.stage) == (kind, Stage.MAIL)
    assert (failed.retryable, failed.maybe_accepted, failed.detail) == (False, False, detail)
    assert rig.told == ["refused"]


def warnings_of(rig: EsmtpRig) -> list[str]:
    """Let the mail go its way, and return what was odd."""
    rig.say("250 ok", "250 ok", "354 go")
    assert rig.lines()[1:] == ["RCPT TO:<c@d.test>", "DATA"]
    assert rig.send_body()
    rig.say("250 taken")
    return list(rig.accepted.warnings)


# All of it


def test_what_is_offered_is_asked_for() -> None:
    rig = offered(*ALL, options=EVERYTHING, tls=True)

    assert rig.line() == (
        "MAIL FROM:<a@b.test> REQUIRETLS HOLDFOR=30 BY=60;R MT-PRIORITY=4 RET=HDRS ENVID=a+20b"
    )
    rig.say("250 ok")
    assert rig.line() == "RCPT TO:<c@d.test> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;c@d.test"
    rig.say("250 ok", "354 go")
    assert rig.line() == "DATA"
    assert rig.send_body()
    rig.say("250 taken")
    assert rig.accepted.warnings == ()


def test_options_that_are_not_given_add_no_parameters() -> None:
    rig = offered(*ALL, options=DeliveryOptions(), tls=True)

    assert rig.line() == "MAIL FROM:<a@b.test>"
    rig.say("250 ok")
    assert rig.line() == "RCPT TO:<c@d.test>"


def test_an_lmtp_server_is_asked_in_the_same_way() -> None:
    rig = EsmtpRig(
        offers=["DSN"], is_lmtp=True, options=DeliveryOptions(dsn=Dsn(notify="never"))
    ).greet()

    assert rig.line() == "MAIL FROM:<a@b.test>"
    rig.say("250 ok")
    assert rig.line() == "RCPT TO:<c@d.test> NOTIFY=NEVER"


def test_options_stay_in_their_order_beside_the_mail_s_own_parameters() -> None:
    rig = EsmtpRig(
        JOSE,
        offers=["SMTPUTF8", "8BITMIME", "SIZE", "MT-PRIORITY"],
        content=CompleteContent(b"\xff"),
        options=DeliveryOptions(priority=-9),
    ).greet()

    assert rig.line() == "MAIL FROM:<a@b.test> SMTPUTF8 BODY=8BITMIME SIZE=3 MT-PRIORITY=-9"


def test_what_a_server_refuses_is_refused() -> None:
    rig = offered("MT-PRIORITY", options=DeliveryOptions(priority=9))
    rig.say("555 5.5.4 no such parameter", "221 bye")

    assert rig.failed.kind is FailureKind.SMTP
    assert rig.told == ["refused 555"]


# DSN


@pytest.mark.parametrize(
    ("dsn", "warning"),
    [
        (Dsn(notify="delay"), "offers no DSN (RFC 3461): it was not asked for notifications"),
        (Dsn(ret="full"), "offers no DSN (RFC 3461): it was not asked for notifications"),
        (Dsn(envid="1"), "offers no DSN (RFC 3461): it was not asked for notifications"),
        (Dsn(orcpt=True), "offers no DSN (RFC 3461): it was not asked for notifications"),
        (Dsn(notify="never"), "offers no DSN (RFC 3461): it may send notifications all the same"),
    ],
)
def test_a_server_without_dsn_gets_the_mail_without_it_and_the_outcome_says_so(
    dsn: Dsn, warning: str
) -> None:
    rig = offered("XDSN", options=DeliveryOptions(dsn=dsn))

    assert warnings_of(rig) == [f"{SERVER} {warning}"]


def test_who_asks_for_nothing_misses_nothing() -> None:
    assert warnings_of(offered(options=DeliveryOptions(dsn=Dsn()))) == []


def test_each_recipient_has_an_original_recipient_of_his_own() -> None:
    to = ("c@d.test", "e@d.test", JOSE)
    dsn = Dsn(orcpt={"c@d.test": "list@x.test", JOSE: U_LABEL})
    rig = EsmtpRig(
        *to, offers=["DSN", "PIPELINING", "SMTPUTF8"], options=DeliveryOptions(dsn=dsn)
    ).greet()

    assert rig.lines() == [
        "MAIL FROM:<a@b.test> SMTPUTF8",
        "RCPT TO:<c@d.test> ORCPT=rfc822;list@x.test",
        "RCPT TO:<e@d.test>",
        f"RCPT TO:<{JOSE}> ORCPT=rfc822;{A_LABEL}",
        "DATA",
    ]


# MT-PRIORITY


def test_a_server_without_mt_priority_gets_the_mail_all_the_same() -> None:
    rig = offered("MT-PRIORITY-X", options=DeliveryOptions(priority=0))

    assert warnings_of(rig) == [
        f"{SERVER} offers no MT-PRIORITY (RFC 6710): the email went without its priority"
    ]


@pytest.mark.parametrize("profile", ["MT-PRIORITY", "mt-priority MIXER", "MT-PRIORITY STANAG4406"])
def test_the_priority_is_a_number_whatever_the_server_s_profile(profile: str) -> None:
    assert offered(profile, options=DeliveryOptions(priority=0)).line() == (
        "MAIL FROM:<a@b.test> MT-PRIORITY=0"
    )


# DELIVERBY


def test_an_email_to_be_returned_when_late_is_not_sent_without_deliverby() -> None:
    not_sent(
        offered("DSN", options=DeliveryOptions(deliver_by=RETURN)),
        FailureKind.LOCAL,
        f"{SERVER} offers no DELIVERBY: it would deliver the email after its time;"
        " use on_expiry='notify' if that will do",
    )


def test_a_mail_of_whose_delay_the_sender_wants_to_hear_is_sent_all_the_same() -> None:
    rig = offered(options=DeliveryOptions(deliver_by=NOTIFY))

    assert warnings_of(rig) == [
        f"{SERVER} offers no DELIVERBY (RFC 2852): it will not tell if the email is late"
    ]


@pytest.mark.parametrize(
    "offer",
    [
        "DELIVERBY",
        "DELIVERBY 60",
        "DELIVERBY 1",
        "DELIVERBY  5 ",
        "DELIVERBY soon",
        "DELIVERBY -5",
        "DELIVERBY 9999999999",  # ten digits: no by-time
        "DELIVERBY \u0662",
    ],
)
def test_a_time_that_the_server_can_keep_is_asked_for(offer: str) -> None:
    rig = offered(offer, options=DeliveryOptions(deliver_by=RETURN))

    assert rig.line() == "MAIL FROM:<a@b.test> BY=60;R"


def test_a_time_that_the_server_can_t_keep_is_not() -> None:
    not_sent(
        offered("DELIVERBY 61", options=DeliveryOptions(deliver_by=RETURN)),
        FailureKind.LOCAL,
        f"{SERVER} takes at least 61 s to deliver an email; deliver_by is 60",
    )


def test_the_least_time_is_no_matter_where_the_mail_goes_on_after_it() -> None:
    rig = offered("DELIVERBY 61", options=DeliveryOptions(deliver_by=NOTIFY))

    assert rig.line() == "MAIL FROM:<a@b.test> BY=60;N"


# FUTURERELEASE


@pytest.mark.parametrize(
    "options", [DeliveryOptions(hold_for=60), DeliveryOptions(hold_until=NOON)], ids=str
)
def test_an_email_to_be_held_is_not_sent_without_futurerelease(
    options: DeliveryOptions,
) -> None:
    not_sent(
        offered("DELIVERBY", options=options),
        FailureKind.LOCAL,
        f"{SERVER} offers no FUTURERELEASE: it would deliver the email at once;"
        " send it when its time has come",
    )


@pytest.mark.parametrize(
    "offer",
    [
        "FUTURERELEASE",
        "FUTURERELEASE 60 2026-11-23T12:00:00Z",
        "futurerelease 86400 2030-01-01t00:00:00z",
        "FUTURERELEASE 60  2026-11-23T13:00:00+01:00",
        "FUTURERELEASE 60",
        # What makes no sense is as good as not said; the server will refuse what it can't do.
        "FUTURERELEASE long tomorrow",
        "FUTURERELEASE -1 2020-01-01T00:00:00",
        "FUTURERELEASE 1000000000000 99999-01-01T00:00:00Z",
    ],
)
@pytest.mark.parametrize(
    ("options", "parameter"),
    [
        (DeliveryOptions(hold_for=60), "HOLDFOR=60"),
        (DeliveryOptions(hold_until=NOON), "HOLDUNTIL=2026-11-23T12:00:00Z"),
    ],
    ids=str,
)
def test_a_time_that_is_within_the_server_s_limits_is_asked_for(
    offer: str, options: DeliveryOptions, parameter: str
) -> None:
    assert offered(offer, options=options).line() == f"MAIL FROM:<a@b.test> {parameter}"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (DeliveryOptions(hold_for=3601), "holds emails for up to 3600 s; hold_for is 3601"),
        (
            DeliveryOptions(hold_until=NOON),
            "holds emails until 2026-11-23 11:59:59+00:00; hold_until is 2026-11-23 12:00:00+00:00",
        ),
    ],
    ids=str,
)
def test_a_time_that_is_beyond_the_server_s_limits_is_not(
    options: DeliveryOptions, said: str
) -> None:
    not_sent(
        offered("FUTURERELEASE 3600 2026-11-23T11:59:59Z", options=options),
        FailureKind.LOCAL,
        f"{SERVER} {said}",
    )


# REQUIRETLS


@pytest.mark.parametrize("tls", [None, False], ids=["in clear", "not verified"])
def test_a_mail_that_requires_tls_is_not_sent_without_verified_tls(*, tls: bool | None) -> None:
    not_sent(
        offered("REQUIRETLS", options=DeliveryOptions(require_tls=True), tls=tls),
        FailureKind.SECURITY,
        f"the email requires verified TLS, and the session with {SERVER} has none;"
        " connect with tls='starttls' or tls='implicit'",
    )


def test_an_email_that_requires_tls_is_not_sent_without_requiretls() -> None:
    not_sent(
        offered("DSN", options=DeliveryOptions(require_tls=True), tls=True),
        FailureKind.SECURITY,
        f"{SERVER} offers no REQUIRETLS: it would not promise to pass the email on under TLS only",
    )


def test_a_server_that_knows_no_ehlo_offers_nothing() -> None:
    rig = EsmtpRig(options=DeliveryOptions(deliver_by=RETURN))
    rig.connect()
    rig.say("220 old.test", "500 what?", "250 hello", "221 bye")

    assert rig.lines() == ["EHLO c.test", "HELO c.test", "QUIT"]
    assert rig.failed.kind is FailureKind.LOCAL


# Addresses beyond ASCII


@pytest.mark.parametrize("offers", [(), ("SMTPUTF8",)], ids=["without SMTPUTF8", "with it"])
def test_a_domain_beyond_ascii_goes_out_as_the_same_domain_in_ascii(
    offers: tuple[str, ...],
) -> None:
    rig = EsmtpRig(U_LABEL, "e@d.test", offers=offers, sender="a@\u00e4.test").greet()

    rig.say("250 ok", "250 ok", "250 ok", "354 go")
    assert rig.lines() == [
        "MAIL FROM:<a@xn--4ca.test>",
        f"RCPT TO:<{A_LABEL}>",
        "RCPT TO:<e@d.test>",
        "DATA",
    ]
    assert rig.send_body()
    rig.say("250 taken")
    assert [result.address for result in rig.accepted.recipients] == [U_LABEL, "e@d.test"]
    assert rig.accepted.warnings == ()


def test_where_utf8_is_spoken_anyway_each_address_goes_out_as_it_was_given() -> None:
    rig = EsmtpRig(U_LABEL, JOSE, offers=["SMTPUTF8", "PIPELINING"], sender="a@\u00e4.test").greet()

    assert rig.lines() == [
        "MAIL FROM:<a@\u00e4.test> SMTPUTF8",
        f"RCPT TO:<{U_LABEL}>",
        f"RCPT TO:<{JOSE}>",
        "DATA",
    ]


@pytest.mark.parametrize(
    ("sender", "to"), [(JOSE, U_LABEL), ("a@b.test", JOSE), ("a@b.test", "\u00e9@b\u00fccher.test")]
)
def test_a_local_part_beyond_ascii_is_not_sent_without_smtputf8(sender: str, to: str) -> None:
    rig = EsmtpRig(to, sender=sender).greet()

    not_sent(
        rig,
        FailureKind.LOCAL,
        f"{SERVER} takes no addresses beyond ASCII (no SMTPUTF8); use ASCII addresses",
    )


@given(
    label=st.from_regex(r"[a-z0-9\u00e0-\u00f6\u0430-\u044f]{1,12}", fullmatch=True),
    local=st.sampled_from(["c", "c+d", '"a b"', "\u00e9"]),
    offers=st.booleans(),
)
def test_what_is_said_without_smtputf8_is_ascii(label: str, local: str, *, offers: bool) -> None:
    session = Session(server=SERVER, ehlo_name="c.test")
    if offers:
        session.extensions = Extensions({"SMTPUTF8": ""})
    envelope = Envelope.of(f"a@{label}.test", f"{local}@{label}.test")
    if envelope.needs_smtputf8 and not offers:
        return

    offer = prepare(session, envelope, CompleteContent(b"a"))

    lines = offer.mail.line + offer.rcpt(envelope.forward_paths[0]).line
    assert lines.isascii() or " SMTPUTF8" in offer.mail.line


# The offer


def test_an_offer_knows_the_size_of_what_it_offers() -> None:
    session = Session(server=SERVER, ehlo_name="c.test")
    envelope = Envelope.of("a@b.test", "c@d.test")
    facts = MailFacts(size=5, eight_bit=False, nul=False, longest_line=3)

    whole = prepare(session, envelope, CompleteContent(b"abc"))
    stream = prepare(session, envelope, StreamedContent(facts))
    once = prepare(session, envelope, StreamedContent(None))

    assert [offer.size for offer in (whole, stream, once)] == [5, 5, 0]
    assert [offer.is_read_once for offer in (whole, stream, once)] == [False, False, True]
    assert session.warnings == ()
