import ipaddress
import os
import re
import traceback
from dataclasses import FrozenInstanceError
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pykka_smtp.actors.options.relay_url import (
    Relay,
    Scheme,
    parse_relay_url,
    relay_from_environment,
)
from pykka_smtp.smtp.sasl.secret import Secret

SCHEMES: tuple[Scheme, ...] = ("smtp", "smtps", "lmtp")
PORTS = {"smtp": 25, "smtps": 465, "lmtp": 24}
SOCKET = "lmtp+unix:///run/lmtp"
KNOWN = "timeout, deadline, tls, auth, local_hostname, source_address, proxy, alias, debug, without"


def facts(relay: Relay) -> tuple[object, ...]:
    return relay.scheme, relay.host, relay.port, relay.path, relay.username, clear(relay)


def clear(relay: Relay) -> str | None:
    return None if relay.password is None else relay.password.reveal()


def attempt(url: str) -> Relay | ValueError:
    try:
        return parse_relay_url(url)
    except ValueError as exc:
        return exc


def error(url: str) -> str:
    with pytest.raises(ValueError) as caught:
        parse_relay_url(url)
    return str(caught.value)


# What a URL says.


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("smtp://h", ("smtp", "h", 25, None, None, None)),
        ("smtps://h", ("smtps", "h", 465, None, None, None)),
        ("lmtp://h", ("lmtp", "h", 24, None, None, None)),
        ("lmtp+unix:///run/dovecot/lmtp", ("lmtp+unix", "", 0, "/run/dovecot/lmtp", None, None)),
        ("lmtp+unix:///run/a%20b%40c", ("lmtp+unix", "", 0, "/run/a b@c", None, None)),
        ("SmTpS://H", ("smtps", "H", 465, None, None, None)),
        ("smtp://h/", ("smtp", "h", 25, None, None, None)),
        ("smtp://h?", ("smtp", "h", 25, None, None, None)),
        ("smtp://h:2525", ("smtp", "h", 2525, None, None, None)),
        ("smtp://h:65535", ("smtp", "h", 65535, None, None, None)),
        ("smtps://h:587", ("smtps", "h", 587, None, None, None)),
        ("smtp://u:p@h", ("smtp", "h", 25, None, "u", "p")),
        ("smtp://u@h", ("smtp", "h", 25, None, "u", None)),
        ("lmtp://u:p@h:2003", ("lmtp", "h", 2003, None, "u", "p")),
        ("smtp://u:p:q:@h", ("smtp", "h", 25, None, "u", "p:q:")),
        ("smtp://a+b:c+d@h", ("smtp", "h", 25, None, "a+b", "c+d")),
        ("smtp://u%40h:p%3a%2F%20%25@h", ("smtp", "h", 25, None, "u@h", "p:/ %")),
        ("smtp://a%3Ab:c@h", ("smtp", "h", 25, None, "a:b", "c")),
        ("smtp://u:%C3%A9\u00e9@h", ("smtp", "h", 25, None, "u", "\u00e9\u00e9")),
        ("smtp://[::1]", ("smtp", "::1", 25, None, None, None)),
        ("smtp://u:p@[2001:DB8::1]:26", ("smtp", "2001:DB8::1", 26, None, "u", "p")),
        ("smtp://192.0.2.1:26", ("smtp", "192.0.2.1", 26, None, None, None)),
        ("smtp://b\u00fccher.example", ("smtp", "b\u00fccher.example", 25, None, None, None)),
        ("smtp://mail.example.org.", ("smtp", "mail.example.org.", 25, None, None, None)),
        ("smtp://mail_relay", ("smtp", "mail_relay", 25, None, None, None)),
        ("smtp://3f2a9c1b7d4e", ("smtp", "3f2a9c1b7d4e", 25, None, None, None)),
    ],
)
def test_a_url_says_scheme_host_port_socket_and_credentials(
    url: str, expected: tuple[object, ...]
) -> None:
    assert facts(parse_relay_url(url)) == expected


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("timeout=30", {"timeout": 30.0}),
        ("timeout=0.25&deadline=9999999", {"timeout": 0.25, "deadline": 9999999.0}),
        ("tls=starttls", {"tls": "starttls"}),
        ("tls=OFF", {"tls": "off"}),
        ("auth=plain", {"auth": ("PLAIN",)}),
        ("auth=SCRAM-SHA-256,X_Y", {"auth": ("SCRAM-SHA-256", "X_Y")}),
        ("local_hostname=client.example.org", {"local_hostname": "client.example.org"}),
        ("local_hostname=%5B192.0.2.1%5D", {"local_hostname": "[192.0.2.1]"}),
        ("source_address=192.0.2.1", {"source_address": ("192.0.2.1", 0)}),
        ("source_address=192.0.2.1:65535", {"source_address": ("192.0.2.1", 65535)}),
        ("source_address=::1", {"source_address": ("::1", 0)}),
        ("source_address=[::1]", {"source_address": ("::1", 0)}),
        ("source_address=[::1]:25", {"source_address": ("::1", 25)}),
        ("alias=news%20%26+%C3%A9=", {"alias": "news &+\u00e9="}),
        ("debug=1", {"debug": True}),
        ("debug=True", {"debug": True}),
        ("debug=0", {"debug": False}),
        ("debug=false", {"debug": False}),
    ],
)
def test_options_come_typed(query: str, expected: dict[str, object]) -> None:
    options = parse_relay_url(f"smtp://h?{query}").options

    assert options == expected
    assert {name: type(value) for name, value in options.items()} == {
        name: type(value) for name, value in expected.items()
    }


def test_smtps_asks_for_implicit_tls_in_the_options_too() -> None:
    assert parse_relay_url("smtps://h:2465").options == {"tls": "implicit"}
    assert parse_relay_url("smtps://h?tls=implicit").options == {"tls": "implicit"}
    assert parse_relay_url("smtp://h").options == {}


def test_a_socket_can_say_that_it_has_no_tls() -> None:
    assert parse_relay_url(f"{SOCKET}?tls=off").options == {"tls": "off"}
    assert parse_relay_url(f"{SOCKET}?tls=auto").options == {"tls": "auto"}


# What is no relay URL.


@pytest.mark.parametrize(
    ("url", "flaw"),
    [
        ("", "unknown scheme; write smtp://host, smtps://host, lmtp://host or lmtp+unix:"),
        ("h", "unknown scheme"),
        ("h:25", "unknown scheme"),
        ("//h", "unknown scheme"),
        ("smtp:h", "unknown scheme"),
        ("smtp:/h", "unknown scheme"),
        ("http://h", "unknown scheme"),
        ("lmtps://h", "unknown scheme"),
        ("\ufeffsmtp://h", "unknown scheme"),
        ("smtp://", "names no host"),
        ("smtp:///", "names no host"),
        ("smtp:///path", "has a path"),
        ("smtp://?debug=1", "names no host"),
        ("smtp://:25", "names no host"),
        ("smtp://u:p@", "names no host"),
        ("smtp://u:p@:25", "names no host"),
        ("smtp://@h", 'the user before "@" is empty'),
        ("smtp://:p@h", 'the user before "@" is empty'),
        ("smtp://u:@h", "the password is empty"),
        ("smtp://u@x:p@h", 'has an "@" in user or password'),
        ("smtp://u:p@q@h", 'has an "@" in user or password'),
        ("smtp://u:p/q@h", 'has an "@" after "/" or "?"'),
        ("smtp://u:p?q@h", 'has an "@" after "/" or "?"'),
        ("smtp://h?alias=a@b", 'has an "@" after "/" or "?"'),
        ("smtp://u:p#q@h", 'has a "#"'),
        ("smtp://h#", 'has a "#"'),
        ("smtp://h/path", "has a path"),
        ("smtp://h//", "has a path"),
        ("lmtp://h/path?debug=1", "has a path"),
        ("smtp://h:", "the port"),
        ("smtp://h:0", "the port"),
        ("smtp://h:025", "the port"),
        ("smtp://h:+25", "the port"),
        ("smtp://h:\u0662\u0665", "the port"),
        ("smtp://h:65536", "the port"),
        ("smtp://h:99999999", "the port"),
        ("smtp://h:smtp", "the port"),
        ("smtp://u:p", 'the port after ":" needs a number, 1 to 65535; or is "@" with the host'),
        ("smtp://::1", 'more than one ":"'),
        ("smtp://h:25:25", 'more than one ":"'),
        ("smtp://[::1", "between brackets"),
        ("smtp://[]", "between brackets"),
        ("smtp://[h]", "between brackets"),
        ("smtp://[192.0.2.1]", "between brackets"),
        ("smtp://[fe80::1%25eth0]", "needs an IPv6 address without a zone between brackets"),
        ("smtp://[fe80::1%eth0]", "needs an IPv6 address without a zone between brackets"),
        ("smtp://[v1.x:y]", "between brackets"),
        ("smtp://[::1]25", 'only ":" and a port'),
        ("smtp://[::1]:", "the port"),
        ("smtp://a..b", "neither a name nor an address"),
        ("smtp://.a", "neither a name nor an address"),
        ("smtp://a%2eb", "neither a name nor an address"),
        ("smtp://a,b", "neither a name nor an address"),
        ("smtp://a\\b", "neither a name nor an address"),
        ("smtp://a\u200bb", "neither a name nor an address"),
        ("smtp://a\uff0fb", "neither a name nor an address"),
        ("smtp://a\uff20b", "neither a name nor an address"),
        ("smtp://a\u2100b", "neither a name nor an address"),
        (f"smtp://{'a' * 256}", "the host is longer than 255 characters"),
        ("smtp://127.1", "the host is a number"),
        ("smtp://0x7f000001", "the host is a number"),
        ("smtp://2130706433", "the host is a number"),
        ("smtp://256.0.0.1", "the host is a number"),
        ("smtp://127.0.0.1.", "the host is a number"),
        ("smtp://\uff11\uff12\uff17.1", "the host is a number"),
        ("smtp://127.\uff11", "the host is a number"),
        ("lmtp://h:25", "port 25 is for SMTP"),
        ("lmtp+unix://", "only the socket's absolute path"),
        ("lmtp+unix:///", "only the socket's absolute path"),
        ("lmtp+unix://run/lmtp", "only the socket's absolute path: lmtp+unix:///run/dovecot/lmtp"),
        ("lmtp+unix://u:p@/run/lmtp", "only the socket's absolute path"),
        (f"lmtp+unix:///{'%C3%A9' * 54}", "longer than the 107 bytes"),
        ("smtp://u%:p@h", 'the user has a "%" without two hexadecimal digits'),
        ("smtp://u:p%4@h", 'the password has a "%" without two hexadecimal digits'),
        ("smtp://u:p%zz@h", 'the password has a "%" without two hexadecimal digits'),
        ("smtp://u:p%FF@h", "the password is not UTF-8"),
        ("lmtp+unix:///a%", 'the path has a "%"'),
        (f"smtp://{'a' * 8192}", "longer than 8192 characters"),
    ],
)
def test_an_invalid_relay_url_is_rejected_with_the_reason(url: str, flaw: str) -> None:
    assert flaw in error(url)


@pytest.mark.parametrize(
    ("query", "flaw"),
    [
        ("tiemout=3", f"unknown option 'tiemout'; known are {KNOWN}"),
        ("Timeout=3", f"unknown option 'Timeout'; known are {KNOWN}"),
        ("connections=3", "unknown option 'connections'"),
        ("=3", "unknown option ''"),
        ("debug=1&", "unknown option ''"),
        ("debug=1;timeout=3", "the option debug needs"),
        ("t%69meout=3", "unknown option 't%69meout'"),
        ("x" * 100, f"unknown option '{'x' * 36}...;"),
        ("debug=1&debug=1", "the option debug is given twice"),
        ("timeout=1&debug=1&timeout=2", "the option timeout is given twice"),
        *[
            (f"timeout={value}", "the option timeout needs seconds, such as 30 or 2.5")
            for value in (
                *("", "0", "0.0", "-1", "+1", "1e3", "nan", "inf", "1_0", "30s", ".5"),
                "1.",
            )
        ],
        ("timeout=10000000", "the option timeout needs seconds"),
        ("timeout=\u0663", "the option timeout needs seconds"),
        ("deadline=soon", "the option deadline needs seconds, such as 300 or 2.5"),
        ("tls=", "the option tls needs auto, starttls, implicit or off"),
        ("tls=1", "the option tls needs auto, starttls, implicit or off"),
        *[
            (f"auth={value}", "the option auth needs names of mechanisms, such as SCRAM-SHA-256,")
            for value in ("", ",", "PLAIN,", "PLAIN;LOGIN", "PL%20AIN", "X" * 21, "PLA\u0131N")
        ],
        ("local_hostname=", "the option local_hostname needs a domain or an address literal"),
        ("local_hostname=a%20b", "the option local_hostname needs a domain or an address literal"),
        ("local_hostname=::1", "the option local_hostname needs a domain or an address literal"),
        *[
            (f"source_address={value}", "the option source_address needs an address, or address:")
            for value in (
                *("", "h", "192.0.2.1:", "192.0.2.1:65536", "192.0.2.1:x", "192.0.2.256", "1.1:1"),
                *("[192.0.2.1]", "[::1", "[::1]:", "[::x]:1", "::1%25lo", "[::1%25lo]:1", ":25"),
            )
        ],
        ("alias=", "the option alias needs a name that is not empty"),
        ("alias=%", 'the option alias has a "%" without two hexadecimal digits'),
        ("alias=%80", "the option alias is not UTF-8"),
        ("debug", "the option debug needs 0, 1, false or true"),
        ("debug=yes", "the option debug needs 0, 1, false or true"),
    ],
)
def test_what_is_wrong_with_an_option_is_said(query: str, flaw: str) -> None:
    assert flaw in error(f"smtp://h?{query}")


@pytest.mark.parametrize(
    ("url", "flaw"),
    [
        ("smtps://h?tls=off", "smtps:// means tls=implicit, not off; write smtp:// for that"),
        ("smtps://h?tls=starttls", "smtps:// means tls=implicit, not starttls"),
        ("smtps://h?tls=auto", "smtps:// means tls=implicit, not auto"),
        (
            f"{SOCKET}?tls=starttls",
            "the option tls can only be off: there is no TLS over a unix socket",
        ),
        (
            f"{SOCKET}?tls=implicit",
            "the option tls can only be off: there is no TLS over a unix socket",
        ),
        (
            f"{SOCKET}?source_address=::1",
            "the option source_address is not available for a unix socket",
        ),
    ],
)
def test_options_that_contradict_the_scheme_are_refused(url: str, flaw: str) -> None:
    assert flaw in error(url)


PARTS = (
    "{}smtp://u:p@h",
    "smtp{}://u:p@h",
    "smtp://u{}:p@h",
    "smtp://u:p{}@h",
    "smtp://u:p@h{}",
    "smtp://u:p@h{}:25",
    "smtp://[::1{}]",
    "smtp://h:25{}",
    "smtp://h/{}",
    "lmtp+unix:///run{}/lmtp",
    "smtp://h?debug{}=1",
    *(f"smtp://h?{name}={{}}1" for name in KNOWN.split(", ")),
)
CONTROLS = ("\0", "\t", "\n", "\r", "\r\n", "\x1b", "\x7f", "\x85", "\u2028", "\u2029")


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("control", [*CONTROLS, "\udcff"], ids=ascii)
def test_a_raw_control_character_is_refused_in_any_part(part: str, control: str) -> None:
    message = error(part.format(control))

    assert f"has the control character U+{ord(control[0]):04X}" in message
    assert message.isprintable()


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("control", CONTROLS, ids=ascii)
def test_an_encoded_control_character_is_refused_in_any_part(part: str, control: str) -> None:
    assert error(part.format(quote(control))).isprintable()


@pytest.mark.parametrize(
    "part", ["smtp://u{}:p@h", "smtp://u:{}@h", "smtp://h?alias={}", SOCKET + "{}"]
)
@pytest.mark.parametrize("control", CONTROLS, ids=ascii)
def test_where_much_may_be_encoded_a_control_character_is_named(part: str, control: str) -> None:
    message = error(part.format(quote(control)))

    assert f"has the control character U+{ord(control[0]):04X}, percent-encoded" in message


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("space", [" ", "\u00a0", "\u3000"], ids=ascii)
def test_a_raw_space_is_refused_in_any_part(part: str, space: str) -> None:
    assert "has a space" in error(part.format(space))


def test_what_is_no_str_is_a_type_error_that_does_not_show_it() -> None:
    url: Any = b"smtp://u:hunter2@h"
    with pytest.raises(TypeError) as caught:
        parse_relay_url(url)

    assert str(caught.value) == "relay URL: needs a str, not bytes"
    assert "hunter2" not in everything_about(caught.value)


# The value.


def test_a_relay_is_frozen_with_its_options() -> None:
    given_options: dict[str, object] = {"debug": True}
    relay: Any = Relay(scheme="smtp", host="h", port=25, options=given_options)
    given_options["debug"] = False

    with pytest.raises(FrozenInstanceError):
        relay.host = "other"
    with pytest.raises(TypeError):
        relay.options["debug"] = False
    assert relay.options == {"debug": True}


def test_relays_compare_by_value_and_can_be_keys() -> None:
    url = "smtp://u:p@h?auth=PLAIN"
    one, same = parse_relay_url(url), parse_relay_url(url)

    assert one == same
    assert len({one, same}) == 1
    assert one != parse_relay_url("smtp://u:q@h?auth=PLAIN")
    assert one != parse_relay_url("smtp://u:p@h?auth=LOGIN")


# The environment.


def test_the_environment_names_a_relay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SMTP_URL", "smtp://u:p@h:587")
    monkeypatch.setenv("OTHER_URL", SOCKET)

    assert relay_from_environment() == parse_relay_url("smtp://u:p@h:587")
    assert relay_from_environment("OTHER_URL") == parse_relay_url(SOCKET)


def test_a_variable_that_is_missing_or_empty_names_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SMTP_URL", raising=False)
    assert relay_from_environment() is None
    monkeypatch.setenv("SMTP_URL", "")
    assert relay_from_environment() is None


def test_an_error_names_the_variable_and_not_the_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTHER_URL", "smtp://u:hunter2@h:x")
    with pytest.raises(ValueError) as caught:
        relay_from_environment("OTHER_URL")

    assert str(caught.value).startswith("OTHER_URL 'smtp://u:***@h...': the port")
    assert "hunter2" not in everything_about(caught.value)


@pytest.mark.skipif(os.name == "nt", reason="the environment is no octets there")
def test_bytes_in_the_environment_that_are_not_utf8_are_rejected(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(os.environb, b"SMTP_URL", b"smtp://u:\xff@h")
    with pytest.raises(ValueError, match="control character U\\+DCFF"):
        relay_from_environment()


# Secrets.


def everything_about(exc: BaseException) -> str:
    """Return what the most curious error report has: what it is chained to, and the locals.

    The first frame is a test's own, and holds the URL.
    """
    assert exc.__traceback__ is not None
    assert exc.__context__ is None
    assert exc.__cause__ is None
    report = traceback.TracebackException(
        type(exc), exc, exc.__traceback__.tb_next, capture_locals=True
    )
    return "".join(report.format()) + repr(exc) + repr(exc.args) + repr(vars(exc))


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("smtp://u:hunter2@h:587/x", "'smtp://u:***@h:587...'"),
        ("smtp://u:hunter2@h:587?x=hunter2", "'smtp://u:***@h:587...'"),
        ("SMTPS://u:hun:ter2@[::1]:0", "'smtps://u:***@[::1]:0'"),
        ("smtp://u:hunter2/x@h", "'smtp://u:***@h'"),
        ("smtp://u:12/hunter2@h", "'smtp://u:***@h'"),
        ("smtp://u:x?hunter2@h", "'smtp://u:***@h'"),
        ("smtp://u:x#hunter2@h", "'smtp://u:***@h'"),
        ("smtp://u:x@hunter2@h", "'smtp://u:***@h'"),
        ("smtp://me@x:hunter2@h", "'smtp://me@x:***@h'"),
        ("smtp://h?x=hunter2@y", "'smtp://h:***@y'"),
        ("smtp://u:hunter2", "'smtp://u...'"),
        ("smtp://u:hunter2/x", "'smtp://u...'"),
        ("smtp://u:12hunter2", "'smtp://u...'"),
        ("smtp://me@x:hunter2", "'smtp://me@x...'"),
        ("smtp://u:hunter2@h\n", r"'smtp://u:***@h\n'"),
        ("smtp://u:hunter2@[::1", "'smtp://u:***@...'"),
        ("lmtp+unix://u:hunter2@/run/x", "'lmtp+unix://u:***@...'"),
    ],
)
def test_an_error_shows_the_url_without_password_and_options(url: str, shown: str) -> None:
    assert error(url).startswith(f"relay URL {shown}: ")


@pytest.mark.parametrize(
    "url", ["http://u:hunter2@h", "u:hunter2@h", "smtp:u:hunter2@h", "hunter2"]
)
def test_where_the_scheme_is_wrong_nothing_of_the_url_is_shown(url: str) -> None:
    assert error(url).startswith("relay URL: unknown scheme")


def test_a_long_url_is_not_shown_at_length() -> None:
    assert len(error(f"smtp://u:hunter2@{'h' * 9000}")) < 300


def test_the_password_shows_neither_in_the_repr_nor_in_the_text_of_a_relay() -> None:
    relay = parse_relay_url("smtp://u:hunter2@h?alias=x")

    assert relay.password == Secret("hunter2")
    assert "hunter2" not in f"{relay!r}{relay}{relay.password!r}{relay.password}"
    careless: Any = "hunter2"
    assert "hunter2" not in repr(Relay(scheme="smtp", host="h", port=25, password=careless))


JUNK = st.text(alphabet="/?#@:%[]&=\\ \n\r\t\u00e9+.,;'\"5aZ", max_size=4)
BEGINNINGS = ("smtp://", "smtps://", "SMTP://", "lmtp://", "lmtp+unix://", "smtp:", "http://", "")
ENDINGS = (
    "",
    ":25",
    ":x",
    ":99999",
    "/",
    "/path",
    "?timeout=x",
    "?timeout=1",
    "#x",
    "\n",
    "%",
    "?@",
)


@given(
    beginning=st.sampled_from(BEGINNINGS),
    password=st.builds("{}hunter2{}".format, JUNK, JUNK),
    host=st.sampled_from(("h", "", "[::1]", "[::1", "127.1", "a b", "\u00e9")),
    ending=st.sampled_from(ENDINGS),
)
def test_no_mistake_in_a_url_brings_its_password_into_an_error_or_its_traceback(
    beginning: str, password: str, host: str, ending: str
) -> None:
    result = attempt(f"{beginning}user:{password}@{host}{ending}")

    if isinstance(result, Relay):
        assert "hunter2" in str(clear(result))
        assert "hunter2" not in repr(result)
    else:
        assert "hunter2" not in everything_about(result)
        assert str(result).isprintable()


# Properties.

TEXT = st.text(st.characters(exclude_categories=("Cc", "Cs", "Zl", "Zp")), min_size=1, max_size=40)
LABEL = st.from_regex(r"[a-zA-Z][a-zA-Z0-9_-]{0,10}", fullmatch=True)
NAME = st.lists(LABEL, min_size=1, max_size=4).map(".".join)
HOST = st.one_of(
    NAME,
    NAME.map("b\u00fccher.{}".format),
    st.ip_addresses(v=4).map(str),
    st.ip_addresses(v=6).map(str),
)
PORT = st.integers(1, 65535)
SECONDS = st.decimals("0.000001", 9999999, places=6).map(float)
OPTIONS = st.fixed_dictionaries(
    {},
    optional={
        "timeout": SECONDS,
        "deadline": SECONDS,
        "tls": st.sampled_from(("auto", "starttls", "implicit", "off")),
        "auth": st.lists(
            st.from_regex(r"[A-Z0-9_-]{1,20}", fullmatch=True), min_size=1, max_size=4
        ).map(tuple),
        "local_hostname": st.sampled_from(("localhost", "a.example", "[192.0.2.1]")),
        "source_address": st.tuples(st.ip_addresses().map(str), st.integers(0, 65535)),
        "alias": TEXT,
        "debug": st.booleans(),
    },
)
SAFE = st.sampled_from(("", "!$&'()*+,;=", '\u00e9[]{}|^"<>`\\'))


def written(value: object) -> str:
    """Write an option as a person would."""
    match value:
        case bool():
            return str(value).lower()
        case float():
            return f"{value:.6f}"
        case (str(address), int(port)):
            return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
        case tuple():
            return ",".join(map(str, value))
        case _:
            return str(value)


def query_of(options: dict[str, Any]) -> str:
    pieces = [f"{name}={quote(written(value), safe=':,[]')}" for name, value in options.items()]
    return f"?{'&'.join(pieces)}" if pieces else ""


@given(
    scheme=st.sampled_from(SCHEMES),
    credentials=st.none() | st.tuples(TEXT, st.none() | TEXT),
    host=HOST,
    port=st.none() | PORT,
    options=OPTIONS,
    safe=SAFE,
)
@example("smtp", ("%41", "%25+ :"), "h", None, {}, "")
@example("smtps", ("@", "@/?#"), "::1", 1, {"tls": "implicit"}, "")
def test_what_was_written_into_a_url_is_read_out_of_it(
    scheme: Scheme,
    credentials: tuple[str, str | None] | None,
    host: str,
    port: int | None,
    options: dict[str, Any],
    safe: str,
) -> None:
    if scheme == "smtps":
        options = {**options, "tls": "implicit"}
    if scheme == "lmtp" and port == 25:
        port = 26
    username, password = credentials or (None, None)
    authority = f"[{host}]" if ":" in host else host
    if port is not None:
        authority += f":{port}"
    if username is not None:
        userinfo = quote(username, safe=safe)
        if password is not None:
            userinfo += ":" + quote(password, safe=f"{safe}:")
        authority = f"{userinfo}@{authority}"

    relay = parse_relay_url(f"{scheme}://{authority}{query_of(options)}")

    assert facts(relay) == (scheme, host, port or PORTS[scheme], None, username, password)
    assert relay.options == options


@given(
    path=st.lists(TEXT, min_size=1, max_size=4)
    .map("/".join)
    .filter(lambda p: len(p.encode()) < 107),
    alias=TEXT,
)
def test_the_path_of_a_socket_is_read_as_it_was_written(path: str, alias: str) -> None:
    relay = parse_relay_url(f"lmtp+unix:///{quote(path)}{query_of({'alias': alias})}")

    assert facts(relay) == ("lmtp+unix", "", 0, f"/{path}", None, None)
    assert relay.options == {"alias": alias}


@given(
    st.builds(
        "{}{}".format,
        st.sampled_from((*BEGINNINGS, "smtp://h?", "smtp://u:", "smtp://h:", "lmtp+unix:///")),
        st.one_of(
            st.text(max_size=60),
            st.text(alphabet="ab1:@/?#[]%=&.,-_+4\n \u00e9", max_size=60),
            st.from_regex(r"(u(:p)?@)?[a-c1.:\[\]]{0,5}(:[0-9]{0,6})?/?(\?[a-z_=&1.]*)?"),
        ),
    )
)
def test_any_text_is_a_relay_or_a_value_error_of_one_printable_line(url: str) -> None:
    relay = attempt(url)

    if isinstance(relay, ValueError):
        assert str(relay).isprintable()
        assert len(str(relay)) < 500
        return
    assert (relay.path is None) == bool(relay.host)
    assert (relay.port == 0) == (relay.scheme == "lmtp+unix")
    parts = (relay.host, relay.path, relay.username, clear(relay), relay.options.get("alias"))
    for part in parts:
        assert not re.search(r"[\x00-\x1f\x7f-\x9f]", str(part or ""))
    if ":" in relay.host:
        assert ipaddress.IPv6Address(relay.host).scope_id is None
