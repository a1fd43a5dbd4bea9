"""What a sender may ask for: checked values, each with one wire form and nothing else in it."""

import copy
import dataclasses
import datetime as dt
import pickle
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pykka_smtp import DeliverBy, Dsn
from pykka_smtp.smtp.mail.delivery_options import (
    MAX_ENVID,
    MAX_ORCPT,
    MAX_SECONDS,
    NO_OPTIONS,
    DeliveryOptions,
    original_recipient,
    xtext,
)
from pykka_smtp.smtp.mail.envelope import Envelope

PATH = "c@d.test"
JOSE = "jos\u00e9@d.test"
BERLIN = dt.timezone(dt.timedelta(hours=1))
NOON = dt.datetime(2026, 11, 23, 12, 0, 0, tzinfo=dt.UTC)


class SlyStr(str):
    """A str that shows something else than it is."""

    __slots__ = ()

    def __str__(self) -> str:
        return "x\r\nRSET"

    def __format__(self, spec: str) -> str:
        return "x\r\nRSET"


class SlyInt(int):
    """The same for an int."""

    def __str__(self) -> str:
        return "1\r\nRSET"

    def __format__(self, spec: str) -> str:
        return "1\r\nRSET"


def unxtext(text: str) -> str:
    return re.sub(r"\+([0-9A-F]{2})", lambda match: chr(int(match[1], 16)), text)


def unembed(text: str) -> str:
    return re.sub(r"\\x\{([0-9A-F]+)\}", lambda match: chr(int(match[1], 16)), text)


# xtext, and original recipients


@pytest.mark.parametrize(
    ("text", "encoded"),
    [
        ("", ""),
        ("QQ314159", "QQ314159"),
        ("a+b=c d", "a+2Bb+3Dc+20d"),
        ("!~", "!~"),
        ("\r\n", "+0D+0A"),
        # Exim 4.96 takes these for a part of the path.
        ('"a b"<c>@d.test', "+22a+20b+22+3Cc+3E@d.test"),
        ("c@[IPv6:::1],;\\()", "c@+5BIPv6+3A+3A+3A1+5D+2C+3B+5C+28+29"),
    ],
)
def test_xtext_escapes_what_would_end_a_parameter(text: str, encoded: str) -> None:
    assert xtext(text) == encoded


@given(st.text(st.characters(min_codepoint=0, max_codepoint=126)))
def test_xtext_has_neither_spaces_nor_equals_signs_and_comes_back(text: str) -> None:
    encoded = xtext(text)

    assert re.fullmatch(r"(?:[!-*,-<>-~]|\+[0-9A-F]{2})*", encoded)
    assert not set(encoded) & set('<>"')
    assert unxtext(encoded) == text


@pytest.mark.parametrize(
    ("address", "original"),
    [
        (PATH, "rfc822;c@d.test"),
        ("postmaster", "rfc822;postmaster"),
        ("a+tag@d.test", "rfc822;a+2Btag@d.test"),
        ('"a b=c"@d.test', "rfc822;+22a+20b+3Dc+22@d.test"),
        ("c@b\u00fccher.test", "rfc822;c@xn--bcher-kva.test"),  # the same mailbox
        (JOSE, r"utf-8;jos\x{E9}@d.test"),
        ("jos\u00e9+\u4e2d@b\u00fccher.test", r"utf-8;jos\x{E9}\x{2B}\x{4E2D}@b\x{FC}cher.test"),
        ('"\u00e9 \\\\="@d.test', r'utf-8;"\x{E9}\x{20}\x{5C}\x{5C}\x{3D}"@d.test'),
        ("\U0001f600@d.test", r"utf-8;\x{1F600}@d.test"),
    ],
)
def test_an_original_recipient_has_the_type_that_its_local_part_needs(
    address: str, original: str
) -> None:
    assert original_recipient(address) == original


@given(st.text(st.characters(codec="utf-8"), min_size=1, max_size=20))
def test_an_original_recipient_beyond_ascii_is_ascii_and_comes_back(local: str) -> None:
    original = original_recipient(f"\u00e9{local}@d.test")

    assert original.startswith("utf-8;")
    assert re.fullmatch(r"[!-*,-<>-~]*", original)
    assert unembed(original[6:]) == f"\u00e9{local}@d.test"


# Dsn


def test_notifications_ask_for_nothing_unless_they_are_told_to() -> None:
    dsn = Dsn()

    assert dsn.is_empty
    assert not dsn.is_never
    assert dsn.for_mail == ()
    assert dsn.for_rcpt(PATH) == ()


@pytest.mark.parametrize(
    ("given", "mail", "rcpt"),
    [
        ({"notify": "never"}, (), ("NOTIFY=NEVER",)),
        ({"notify": "failure"}, (), ("NOTIFY=FAILURE",)),
        ({"notify": {"delay", "success"}}, (), ("NOTIFY=SUCCESS,DELAY",)),
        ({"notify": ["delay", "failure", "success"]}, (), ("NOTIFY=SUCCESS,FAILURE,DELAY",)),
        ({"notify": ("delay", "delay")}, (), ("NOTIFY=DELAY",)),
        ({"notify": frozenset({"failure"})}, (), ("NOTIFY=FAILURE",)),
        ({"ret": "full"}, ("RET=FULL",), ()),
        ({"ret": "hdrs"}, ("RET=HDRS",), ()),
        ({"envid": "QQ 1=+"}, ("ENVID=QQ+201+3D+2B",), ()),
        ({"orcpt": True}, (), ("ORCPT=rfc822;c@d.test",)),
        ({"orcpt": {PATH: "you@x.test"}}, (), ("ORCPT=rfc822;you@x.test",)),
        ({"orcpt": {PATH: JOSE}}, (), (r"ORCPT=utf-8;jos\x{E9}@d.test",)),
        ({"orcpt": {"other@d.test": "you@x.test"}}, (), ()),
        (
            {"notify": {"success"}, "ret": "hdrs", "envid": "1", "orcpt": True},
            ("RET=HDRS", "ENVID=1"),
            ("NOTIFY=SUCCESS", "ORCPT=rfc822;c@d.test"),
        ),
    ],
    ids=lambda value: None if "{'notify': {" in str(value) else str(value),
)
def test_what_is_asked_for_stands_in_mail_and_rcpt(
    given: dict[str, Any], mail: tuple[str, ...], rcpt: tuple[str, ...]
) -> None:
    dsn = Dsn(**given)

    assert not dsn.is_empty
    assert dsn.is_never is (given.get("notify") == "never")
    assert dsn.for_mail == mail
    assert dsn.for_rcpt(PATH) == rcpt


@pytest.mark.parametrize(
    ("given", "error", "said"),
    [
        ({"notify": "always"}, ValueError, "notify: needs 'never', or of 'success', 'failure' and"),
        ({"notify": "NEVER"}, ValueError, "'delay', not 'NEVER'"),
        ({"notify": ""}, ValueError, "notify: needs 'never'"),
        ({"notify": ()}, ValueError, "notify: empty; write 'never'"),
        ({"notify": {"never", "delay"}}, ValueError, "notify: 'never' goes with nothing else"),
        ({"notify": ["never"]}, ValueError, "notify: 'never' goes with nothing else"),
        ({"notify": {"delay", "success\r\nRSET"}}, ValueError, r"not 'success\\r\\nRSET'"),
        ({"notify": [5]}, ValueError, "not 5"),
        ({"notify": b"never"}, TypeError, "notify: needs a str or a set of them, not bytes"),
        ({"notify": True}, TypeError, "notify: needs a str or a set of them, not bool"),
        ({"notify": {"delay": True}}, TypeError, "not dict"),
        ({"ret": "FULL"}, ValueError, "ret: needs 'full' or 'hdrs', not 'FULL'"),
        ({"ret": True}, ValueError, "not True"),
        ({"ret": "x" * 100}, ValueError, r"not 'x{56}\.\.\.$"),
        ({"envid": ""}, ValueError, "envid: needs printable ASCII, not ''"),
        ({"envid": "a\r\nRSET"}, ValueError, r"envid: needs printable ASCII, not 'a\\r\\nRSET'"),
        ({"envid": "a\x7f"}, ValueError, "printable"),
        ({"envid": "\u00e9"}, ValueError, r"not '\\xe9'"),
        ({"envid": "x" * 101}, ValueError, "envid: has 101 characters as xtext; 100 are allowed"),
        ({"envid": "+" * 34}, ValueError, "envid: has 102 characters"),
        ({"envid": 5}, TypeError, "envid: needs a str, not int"),
        ({"orcpt": 1}, TypeError, "orcpt: needs a bool or a mapping, not int"),
        ({"orcpt": "c@d.test"}, TypeError, "orcpt: needs a bool or a mapping, not str"),
        ({"orcpt": None}, TypeError, "not NoneType"),
        ({"orcpt": ("c@d.test",)}, TypeError, "orcpt: needs a mapping from recipients"),
        ({"orcpt": (("a@b", "c@d", "e@f"),)}, TypeError, "orcpt: needs a mapping from"),
        ({"orcpt": {5: "c@d.test"}}, TypeError, "orcpt: a recipient must be a str, not int"),
        ({"orcpt": {PATH: 5}}, TypeError, "orcpt: an address must be a str, not int"),
        ({"orcpt": {PATH: "c d@e.test"}}, ValueError, "orcpt: invalid address 'c d@e.test'"),
        ({"orcpt": {PATH: "c@d\r\nRSET"}}, ValueError, "control character"),
        ({"orcpt": {PATH: ""}}, ValueError, "it is empty"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_an_invalid_wish_is_refused_in_one_line(
    given: dict[str, Any], error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=said) as caught:
        Dsn(**given)
    assert str(caught.value).isprintable()


def test_an_envelope_identifier_may_be_as_long_as_the_rfc_allows() -> None:
    assert Dsn(envid="x" * MAX_ENVID).for_mail == (f"ENVID={'x' * 100}",)
    assert Dsn(envid="=" * 33).for_mail == (f"ENVID={'+3D' * 33}",)


LONG = "\u00e9" * 32 + "@" + ".".join(["\u00fc" * 20] * 4)  # 254 octets at most, but many letters


def test_an_original_recipient_that_is_too_long_is_refused_wherever_it_comes_from() -> None:
    assert len(original_recipient(LONG)) > MAX_ORCPT
    said = f"orcpt: .* has {len(original_recipient(LONG))} characters as xtext; 500 are allowed"

    with pytest.raises(ValueError, match=said):
        Dsn(orcpt={PATH: LONG})
    with pytest.raises(ValueError, match=said):
        Envelope.of("a@b.test", [PATH, LONG], DeliveryOptions(dsn=Dsn(orcpt=True)))
    Envelope.of("a@b.test", [PATH, LONG], DeliveryOptions(dsn=Dsn(orcpt={PATH: PATH})))


def test_an_original_recipient_for_a_missing_recipient_is_rejected() -> None:
    dsn = Dsn(orcpt={PATH: PATH, "who\r\n@x": "c@d.test"})

    with pytest.raises(
        ValueError, match=r"^orcpt: 'who\\r\\n@x' is not a recipient of this email$"
    ):
        Envelope.of("a@b.test", PATH, DeliveryOptions(dsn=dsn))


def test_notifications_do_not_change_with_what_they_were_made_of() -> None:
    notify: set[Any] = {"delay"}
    orcpt = {PATH: "you@x.test"}
    dsn = Dsn(notify=notify, orcpt=orcpt)
    notify.add("success")
    orcpt[PATH] = "other@x.test"

    assert dsn.for_rcpt(PATH) == ("NOTIFY=DELAY", "ORCPT=rfc822;you@x.test")
    with pytest.raises(dataclasses.FrozenInstanceError):
        dsn.ret = "full"  # type: ignore[misc]


def test_notifications_are_values() -> None:
    dsn = Dsn(notify={"delay"}, ret="full", envid="1", orcpt={PATH: "you@x.test"})

    for other in (
        Dsn(notify=["delay"], ret="full", envid="1", orcpt={PATH: "you@x.test"}),
        pickle.loads(pickle.dumps(dsn)),  # noqa: S301 - our own
        copy.deepcopy(dsn),
        dataclasses.replace(dsn),
    ):
        assert other == dsn
        assert hash(other) == hash(dsn)
        assert other.for_rcpt(PATH) == dsn.for_rcpt(PATH)
    assert dataclasses.replace(dsn, notify="never") != dsn


def test_notifications_do_not_show_whose_addresses_they_have() -> None:
    # A recipient may stand in bcc.
    assert "secret" not in repr(Dsn(orcpt={"secret@d.test": "secret@x.test"}))


# DeliverBy


@pytest.mark.parametrize(
    ("given", "parameter"),
    [
        ({"seconds": 120, "on_expiry": "return"}, "BY=120;R"),
        ({"seconds": 1, "on_expiry": "notify"}, "BY=1;N"),
        ({"seconds": MAX_SECONDS, "on_expiry": "return", "trace": True}, "BY=999999999;RT"),
        ({"seconds": 5, "on_expiry": "notify", "trace": True}, "BY=5;NT"),
    ],
    ids=str,
)
def test_a_time_for_delivery_has_one_wire_form(given: dict[str, Any], parameter: str) -> None:
    assert DeliverBy(**given).parameter == parameter


@pytest.mark.parametrize(
    ("given", "error", "said"),
    [
        ({"seconds": 0}, ValueError, "^seconds: needs 1 to 999999999, not 0$"),
        ({"seconds": -5}, ValueError, "not -5"),
        ({"seconds": 10**9}, ValueError, "not 1000000000"),
        ({"seconds": 10**100}, ValueError, r"not 10{56}\.\.\.$"),
        ({"seconds": 1.5}, TypeError, "^seconds: needs an int, not float$"),
        ({"seconds": True}, TypeError, "not bool"),
        ({"seconds": "5;R"}, TypeError, "not str"),
        ({"on_expiry": "R"}, ValueError, "^on_expiry: needs 'return' or 'notify', not 'R'$"),
        ({"on_expiry": None}, ValueError, "not None"),
        ({"trace": 1}, TypeError, "^trace: needs True or False, not int$"),
    ],
    ids=str,
)
def test_a_time_for_delivery_that_makes_no_sense_is_refused(
    given: dict[str, Any], error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=said):
        DeliverBy(**{"seconds": 5, "on_expiry": "return", **given})


# All of them


def test_most_mails_ask_for_nothing() -> None:
    assert DeliveryOptions() == NO_OPTIONS == Envelope.of("a@b.test", PATH).options
    assert NO_OPTIONS.hold is None


@pytest.mark.parametrize(
    ("given", "hold"),
    [
        ({"hold_for": 1}, "HOLDFOR=1"),
        ({"hold_for": MAX_SECONDS}, "HOLDFOR=999999999"),
        ({"hold_until": NOON}, "HOLDUNTIL=2026-11-23T12:00:00Z"),
        ({"hold_until": NOON.astimezone(BERLIN)}, "HOLDUNTIL=2026-11-23T12:00:00Z"),
        ({"hold_until": dt.datetime(2027, 1, 1, tzinfo=BERLIN)}, "HOLDUNTIL=2026-12-31T23:00:00Z"),
        # Never too early.
        ({"hold_until": NOON.replace(microsecond=1)}, "HOLDUNTIL=2026-11-23T12:00:01Z"),
        ({"hold_until": dt.datetime(99, 1, 2, tzinfo=dt.UTC)}, "HOLDUNTIL=0099-01-02T00:00:00Z"),
    ],
    ids=str,
)
def test_a_mail_may_be_held_for_a_time_or_until_a_time(given: dict[str, Any], hold: str) -> None:
    assert DeliveryOptions(**given).hold == hold


@pytest.mark.parametrize(
    ("given", "error", "said"),
    [
        ({"dsn": "never"}, TypeError, "^dsn: needs a Dsn, not str$"),
        ({"deliver_by": 60}, TypeError, "^deliver_by: needs a DeliverBy, not int$"),
        ({"hold_for": 0}, ValueError, "^hold_for: needs 1 to 999999999, not 0$"),
        ({"hold_for": 10**9}, ValueError, "hold_for: needs"),
        ({"hold_for": 1.0}, TypeError, "^hold_for: needs an int, not float$"),
        ({"hold_for": dt.timedelta(1)}, TypeError, "hold_for: needs an int, not timedelta"),
        ({"hold_until": "tomorrow"}, TypeError, "^hold_until: needs a datetime, not str$"),
        ({"hold_until": dt.date(2026, 1, 1)}, TypeError, "hold_until: needs a datetime, not date"),
        ({"hold_until": NOON.replace(tzinfo=None)}, ValueError, "hold_until: needs a time zone"),
        (
            {"hold_until": dt.datetime.max.replace(tzinfo=dt.UTC)},
            ValueError,
            "^hold_until: is not in the years 1 to 9999$",
        ),
        (
            {"hold_until": dt.datetime.min.replace(tzinfo=BERLIN)},
            ValueError,
            "hold_until: is not in the years",
        ),
        ({"hold_for": 5, "hold_until": NOON}, ValueError, "hold_until: and hold_for say the same"),
        ({"priority": 10}, ValueError, "^priority: needs -9 to 9, not 10$"),
        ({"priority": -10}, ValueError, "not -10"),
        ({"priority": True}, TypeError, "^priority: needs an int, not bool$"),
        ({"priority": "9"}, TypeError, "not str"),
        ({"require_tls": 1}, TypeError, "^require_tls: needs True or False, not int$"),
        ({"require_tls": None}, TypeError, "not NoneType"),
        (
            {"hold_for": 60, "deliver_by": DeliverBy(seconds=60, on_expiry="return")},
            ValueError,
            "^deliver_by: its time would be over before hold_for is$",
        ),
    ],
    ids=str,
)
def test_an_option_that_is_invalid_or_contradicts_another_is_refused(
    given: dict[str, Any], error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=said) as caught:
        DeliveryOptions(**given)
    assert str(caught.value).isprintable()


def test_a_mail_may_be_held_for_a_part_of_the_time_that_its_delivery_may_take() -> None:
    options = DeliveryOptions(
        hold_for=59, deliver_by=DeliverBy(seconds=60, on_expiry="return"), priority=-9
    )

    assert (options.hold, options.priority) == ("HOLDFOR=59", -9)


class Moment(dt.datetime):
    """A datetime that writes itself in its own way, as those of some libraries do."""

    def isoformat(self, *args: Any, **kwargs: Any) -> str:
        return "today\r\nRSET"


def test_what_was_checked_is_what_goes_out_whatever_class_it_has() -> None:
    options = DeliveryOptions(
        deliver_by=DeliverBy(seconds=SlyInt(60), on_expiry="return"),
        hold_until=Moment(2026, 11, 23, 12, tzinfo=dt.UTC),
        priority=SlyInt(3),
    )
    dsn = Dsn(envid=SlyStr("1"), orcpt={SlyStr(PATH): SlyStr(PATH)}, notify=[SlyStr("delay")])  # type: ignore[list-item]

    assert options.deliver_by is not None
    assert options.deliver_by.parameter == "BY=60;R"
    assert options.hold == "HOLDUNTIL=2026-11-23T12:00:00Z"
    assert f"{options.priority}" == "3"
    assert DeliveryOptions(hold_for=SlyInt(5)).hold == "HOLDFOR=5"
    assert dsn.for_mail == ("ENVID=1",)
    assert dsn.for_rcpt(PATH) == ("NOTIFY=DELAY", "ORCPT=rfc822;c@d.test")


def test_options_are_values() -> None:
    options = DeliveryOptions(dsn=Dsn(notify="never"), hold_until=NOON, priority=1)

    assert pickle.loads(pickle.dumps(options)) == options  # noqa: S301 - our own
    assert dataclasses.replace(options) == options
    assert hash(dataclasses.replace(options)) == hash(options)
