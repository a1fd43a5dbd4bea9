"""Addresses: the grammar of RFC 5321 §4.1.2 and RFC 6531 §3.3, and what an attacker makes of it."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pykka_smtp.smtp.mail import address
from pykka_smtp.smtp.mail.address import (
    check_ehlo_name,
    check_forward_path,
    check_mailbox,
    check_reverse_path,
    needs_smtputf8,
    split_mailbox,
    to_ascii_domain,
)
from pykka_smtp.smtp.mail.domain import AddressError

Check = Callable[[Any], str]

LABEL_63 = "l" * 63
DOMAIN_189 = f"{'d' * 61}.{LABEL_63}.{LABEL_63}"

VALID = [
    "a@b",
    "user@localhost",
    "user@example.com",
    "User@EXAMPLE.Com",
    "first.last+tag@mail.sub.example.org",
    "!#$%&'*+/=?^_`{|}~-@example.com",
    "user%other.example@relay.example",
    "host!user@relay.example",
    "0@0.example",
    "user@host.123",
    "user@1.2.3",
    "user@1.2.3.4.5",
    "user@a--b.example",
    "user@xn--bcher-kva.example",
    '""@example.com',
    '"a b"@example.com',
    '"a@b"@example.com',
    '"evil@x.example y"@example.com',
    '"a>b<c,d;e"@example.com',
    r'"a\"b\\c\ d"@example.com',
    r'"\>"@example.com',
    '"..a."@example.com',
    "user@[192.0.2.1]",
    "user@[0.0.0.0]",
    "user@[255.255.255.255]",
    "user@[IPv6:2001:db8::1]",
    "user@[ipv6:::1]",
    "user@[IPv6:::]",
    "user@[IPv6:::ffff:192.0.2.1]",
    "user@[IPv6:1:2:3:4:5:6:7:8]",
    "user@[IPv6:1:2:3:4:5:6:192.0.2.1]",
    "user@[IPv6:1::3:4:5:6:7]",
    "user@[x-tag:content!#$%&'()*+,-./:;=?^_`{|}~]",
    f"{'l' * 64}@example.com",
    f"{'l' * 64}@{DOMAIN_189}",
    f'"{"q" * 62}"@example.com',
    f"user@{LABEL_63}.example",
    # RFC 6531
    "josé@example.com",
    "δοκιμή@παράδειγμα.example",
    "用户@例子.example",
    '"ö ü"@example.com',
    '"\u00a0"@example.com',
    "\U0001f600@example.com",
    "a\u200db@example.com",
    "user@bücher.example",
    "user@BÜCHER.example",
    "user@straße.example",
    "user@xn--bcher-kva.例子.example",
    "user@a-ü.example",
    "user@שלום.example",
    "user@l·l.example",
    "user@❤.example",
    # Goes out in UTF-8: that its A-labels would make it too long does not matter.
    f"{'é' * 32}@{'.'.join('é' * 31)}",
]

INVALID = {
    "the empty string": ("", "empty"),
    "no at sign": ("user", 'no "@"'),
    "no at sign after a quoted string": ('"user"', 'no "@"'),
    "nothing before the at sign": ("@example.com", "before"),
    "nothing after the at sign": ("user@", "after"),
    "nothing but the at sign": ("@", "before"),
    "two at signs": ("a@b@example.com", "'@' may not stand in a domain"),
    "a dot at the start": (".user@example.com", "dot begins or ends its local part"),
    "a dot at the end": ("user.@example.com", "dot begins or ends its local part"),
    "two dots in a row": ("us..er@example.com", "dot begins or ends its local part"),
    "a space": ("us er@example.com", "' ' may stand only in a quoted local part"),
    "a space at the start": (" user@example.com", "' ' may stand only in a quoted local part"),
    "a space at the end": ("user@example.com ", "' ' may not stand in a domain"),
    "a comment": ("user(x)@example.com", r"'\(' may stand only"),
    "a comma": ("a,b@example.com", "',' may stand only"),
    "a backslash": ("a\\b@example.com", "may stand only"),
    "a quote inside": ('a"b"@example.com', "may stand only"),
    "an atom beside a quoted string": ('"a".b@example.com', 'followed by "@"'),
    "an open quoted string": ('"a@example.com', "no closing quote"),
    "a lone quote": ('"', "no closing quote"),
    "an escaped closing quote": ('"a\\"@example.com', "no closing quote"),
    "a backslash at the end of all": ('"a\\', "backslash"),
    "a backslash before non-ASCII": ('"\\é"@example.com', "backslash"),
    "a display name": ("Name <a@b.example>", "only the address belongs here, without"),
    "a quoted display name": ('"N, M" <a@b.example>', "only the address belongs here, without"),
    "angle brackets": ("<a@b.example>", "without angle brackets"),
    "the null reverse-path": ("<>", "without angle brackets"),
    "a source route": ("@a.example,@b.example:c@d.example", "source routes"),
    "a list with commas": ("a@b.example,c@d.example", "pass several recipients as a list"),
    "a list with semicolons": ("a@b.example; c@d.example", "pass several recipients as a list"),
    "a long list": (",".join(["a@b.example"] * 99), "pass several recipients as a list"),
    "a URL": ("mailto:a@b.example", "':' may stand only"),
    "an underscore in the domain": ("user@my_host.example", "'_' may not stand in a domain"),
    "a colon in the domain": ("user@host:25", "':' may not stand in a domain"),
    "a trailing dot": ("user@example.com.", "ends with a dot"),
    "a domain of one dot": ("user@.", "ends with a dot"),
    "a leading dot of the domain": ("user@.example.com", "begins with a dot"),
    "an empty label": ("user@example..com", "two in a row"),
    "a label that begins with a hyphen": ("user@-a.example", "hyphen"),
    "a label that ends with a hyphen": ("user@a-.example", "hyphen"),
    "a dotted quad": ("user@1.2.3.4", r'write "\[1\.2\.3\.4\]"'),
    "a dotted quad beyond 255": ("user@999.2.3.4", "a number is no domain"),
    "an octet beyond 255": ("user@[1.2.3.256]", "not an IPv4 address"),
    "an octet with a leading zero": ("user@[1.2.3.04]", "not an IPv4 address"),
    "three octets": ("user@[1.2.3]", "not an address literal"),
    "an open literal": ("user@[1.2.3.4", r'does not end with "\]"'),
    "text after a literal": ("user@[1.2.3.4].example", r'does not end with "\]"'),
    "a literal in a literal": ("user@[[1.2.3.4]]", "not an address literal"),
    "an empty literal": ("user@[]", "not an address literal"),
    "half a literal": ("user@[", r'does not end with "\]"'),
    "IPv6 without its tag": ("user@[fe80::1]", r'written "\[IPv6:fe80::1\]"'),
    "IPv6 without its tag, compressed": ("user@[::1]", r'written "\[IPv6:::1\]"'),
    "IPv6 without brackets": ("user@IPv6:::1", "':' may not stand in a domain"),
    "IPv6 with a zone": ("user@[IPv6:fe80::1%eth0]", "not an IPv6 address"),
    "IPv6 that is none": ("user@[IPv6:xyz]", "not an IPv6 address"),
    "IPv6 that is empty": ("user@[IPv6:]", "not an IPv6 address"),
    "IPv6 that spares one group": ("user@[IPv6:1::3:4:5:6:7:8]", "not an IPv6 address"),
    "IPv6 that spares one group by IPv4": (
        "user@[IPv6:1::4:5:6:7:192.0.2.1]",
        "not an IPv6 address",
    ),
    "a literal without a tag": ("user@[:x]", "not an address literal"),
    "a literal without content": ("user@[tag:]", "not an address literal"),
    "a literal with a tag in -": ("user@[tag-:x]", "not an address literal"),
    "a literal with a closing bracket": ("user@[tag:x>y]", "not an address literal"),
    "a literal with an at sign": ("user@[tag:x@y]", "not an address literal"),
    "a literal with a space": ("user@[tag:x y]", "not an address literal"),
    "a literal in UTF-8": ("user@[tag:é]", "not an address literal"),
    "a local part of 65 octets": (f"{'l' * 65}@example.com", "local part has 65 octets; 64"),
    "a quoted local part of 65": (f'"{"q" * 63}"@example.com', "local part has 65 octets; 64"),
    "a local part of 66 octets in 33": (f"{'é' * 33}@example.com", "local part has 66 octets; 64"),
    "a label of 64 octets": (f"user@{LABEL_63}l.example", "has 64 octets; 63 are allowed"),
    "a mailbox of 255 octets": (f"{'l' * 64}@d{DOMAIN_189}", "has 255 octets; 254"),
    "a mailbox of 255 in fewer": (f"{'é' * 32}@d{DOMAIN_189}", "has 255 octets; 254"),
    # RFC 6531
    "a no-break space in an atom": ("us\u00a0er@example.com", r"'\\xa0' may stand only"),
    "an ideographic space": ("user\u3000@example.com", r"'\\u3000' may stand only"),
    "a no-break space in a domain": ("user@ex\u00a0ample", r"'\\xa0' may not stand"),
    "an ideographic full stop": ("user@例\u3002子", "may not stand in a domain"),
    "a private-use character in a domain": ("user@\ue000.example", "may not stand in a domain"),
    "an unassigned character in a domain": ("user@\u0378.example", "may not stand in a domain"),
    "a joiner in a domain": ("user@a\u200db.example", r"'\\u200d' may not stand in a domain"),
    "an underscore beside non-ASCII": ("user@ü_.example", "'_' may not stand in a domain"),
    "fullwidth letters in a domain": ("user@\uff45\uff58.example", "not a U-label"),
    "a Kelvin sign in a domain": ("user@\u212a.example", "not a U-label"),
    "a letter that Unicode 3.2 lacks": ("user@\U0001f130.example", "not a U-label"),
    "a variation selector": ("user@i❤\ufe0f.example", "not a U-label"),
    "a mixture of directions": ("user@שa.example", "not a U-label"),
    "a combining mark in front": ("user@\u0308a.example", "not a U-label"),
    "a hyphen before non-ASCII": ("user@-ü.example", "not a U-label"),
    "a hyphen after non-ASCII": ("user@ü-.example", "not a U-label"),
    "a U-label that pretends to be an A-label": ("user@xn--ü.example", "not a U-label"),
    "a U-label whose A-label is too long": (f"user@{'例' * 60}", "octets; 63 are allowed"),
    "a domain too long with A-labels": (f"é@{'.'.join('é' * 60)}", "with A-labels; 255"),
    "a mailbox too long with A-labels": (f"{'l' * 64}@{'.'.join('é' * 24)}", "with A-labels; 254"),
}

# Each would leave the angle brackets, the line or the address, if it went through.
INJECTIONS = [
    "a@b\r\nDATA",
    "a@b>\r\nRCPT TO:<c@d",
    "a\r\n@b",
    "a@b\n",
    "a@b\r",
    "\na@b",
    "a\tb@c",
    "a@b\t",
    "a\0@b",
    "a@b\0.example",
    "a@b\x0b.example",
    "a\x7f@b",
    "a\x85@b",
    "a\x1b[2J@b",
    '"a\r\nDATA\r\n"@b',
    '"a\\\r\n"@b',
    '"a\0"@b',
    '"a\t"@b',
    "a@[tag:x\r\n]",
    "a@[IPv6:::1\r\n]",
    "a@b> ORCPT=rfc822;c@d",
    "a@b> SIZE=1",
    "a@b>",
    "a>@b",
    "a@b <c@d>",
    "<a@b><c@d>",
    "a@[1.2.3.4]> X",
    "a@[x:>]",
    "a@b SIZE=1",
    "a\u2028@b",
    '"a\u2029"@b',
    "a@b\u2028c",
    "a\uff20b",
    "a\uff20b@c",
    '"a\ufe6bb"@c',
    "a@b\uff20c",
    "a\ud800@b",
    '"\udfff"@b',
    "a@\ud800",
    "a@b\udc80.example",
    "a\ufdd0@b",
    "a\ufffe@b",
    "a\U0010ffff@b",
    "a@\U0001ffff",
    "\ufeffa@b",
    "\u200ba@b",
    "a@b\u200b",
    "\u202ea@b",
    "a@b\u2069",
    "a\xad@b",
    "@a:b@c",
    "@a,@b:c@d",
    "@a,b@c",
    "a@b,c@d",
]

HUGE = 100_000
HUGE_INPUTS = {
    "atoms": "a" * HUGE,
    "dots": "a." * HUGE + "@b",
    "at signs": "@" * HUGE,
    "at signs and commas": "a@b," * HUGE,
    "quotes": '"' * HUGE,
    "quoted pairs": '"' + "\\\\" * HUGE + '"@b',
    "open quoted pairs": '"' + "\\" * (2 * HUGE + 1),
    "labels": "a@" + "b." * HUGE + "b",
    "hyphens": "a@b" + "-" * HUGE + "b",
    "digits": "a@" + "1" * HUGE,
    "brackets": "a@" + "[" * HUGE,
    "colons": "a@[IPv6:" + ":" * HUGE + "]",
    "angle brackets": "<" * HUGE + ">",
    "U-labels": "a@" + "ü" * HUGE,
    "non-ASCII": "ü" * HUGE + "@b",
    "controls": "\r\n" * HUGE,
}


class Loud(str):
    """A str that becomes another one when it is formatted."""

    __slots__ = ()

    def __str__(self) -> str:
        return "evil\r\n"

    def __format__(self, spec: str) -> str:
        return "evil\r\n"


def assert_one_printable_line(message: str) -> None:
    assert message.isprintable(), message
    assert len(message) < 1500


@pytest.mark.parametrize("text", VALID)
def test_a_valid_mailbox_comes_back_unchanged(text: str) -> None:
    assert check_mailbox(text) == text


@pytest.mark.parametrize(("text", "message"), INVALID.values(), ids=INVALID.keys())
def test_an_invalid_mailbox_is_refused_with_the_reason(text: str, message: str) -> None:
    with pytest.raises(AddressError, match=message) as caught:
        check_mailbox(text)
    assert_one_printable_line(str(caught.value))


@pytest.mark.parametrize("text", INJECTIONS, ids=ascii)
def test_no_injection_passes(text: str) -> None:
    for check in (check_mailbox, check_reverse_path, check_forward_path, check_ehlo_name):
        with pytest.raises(AddressError) as caught:
            check(text)
        assert_one_printable_line(str(caught.value))


@pytest.mark.parametrize("text", HUGE_INPUTS.values(), ids=HUGE_INPUTS.keys())
def test_a_huge_input_is_refused_with_a_short_message(text: str) -> None:
    for check in (check_mailbox, check_reverse_path, check_forward_path, check_ehlo_name):
        with pytest.raises(AddressError) as caught:
            check(text)
        assert_one_printable_line(str(caught.value))


@pytest.mark.parametrize("code", [*range(0x20), *range(0x7F, 0xA0)])
def test_a_control_character_is_named_wherever_it_stands(code: int) -> None:
    char = chr(code)
    for text in (f"a{char}@b", f'"a{char}"@b', f"a@b{char}c", f"a@[x:{char}]", f"{char}a@b"):
        with pytest.raises(AddressError, match=rf"control character U\+{code:04X}"):
            check_mailbox(text)


def test_the_usual_control_characters_are_called_by_their_names() -> None:
    for char, name in [("\r", "CR"), ("\n", "LF"), ("\0", "NUL"), ("\t", "TAB"), ("\x7f", "DEL")]:
        with pytest.raises(AddressError, match=rf"\({name}\)"):
            check_mailbox(f"a{char}@b")


def test_an_error_is_a_value_error_that_quotes_the_address() -> None:
    with pytest.raises(ValueError, match=r"invalid address 'no\\nbody': ") as caught:
        check_mailbox("no\nbody")
    assert isinstance(caught.value, AddressError)
    assert caught.value.__suppress_context__


def test_a_long_address_is_quoted_in_part() -> None:
    with pytest.raises(AddressError) as caught:
        check_mailbox("x" * 1000)
    assert f"'{'x' * 56}...: " in str(caught.value)
    assert "x" * 57 not in str(caught.value)


@pytest.mark.parametrize("value", [None, b"a@b", 5, ["a@b"], bytearray(b"a@b")], ids=repr)
@pytest.mark.parametrize(
    "check", [check_mailbox, check_reverse_path, check_forward_path, check_ehlo_name]
)
def test_what_is_no_str_is_a_type_error(check: Check, value: object) -> None:
    with pytest.raises(TypeError, match=f"must be a str, not {type(value).__name__}"):
        check(value)


@pytest.mark.parametrize(
    ("check", "text"),
    [
        (check_mailbox, "a@b"),
        (check_mailbox, '"a b"@c'),
        (check_reverse_path, "a@b"),
        (check_reverse_path, "<>"),
        (check_forward_path, "postmaster"),
        (check_ehlo_name, "localhost"),
    ],
)
def test_a_str_with_methods_of_its_own_comes_back_as_a_plain_one(check: Check, text: str) -> None:
    checked = check(Loud(text))
    assert type(checked) is str
    assert f"{checked}" == text


def test_the_null_reverse_path_is_a_sender() -> None:
    assert check_reverse_path("<>") == "<>"


def test_a_mailbox_is_a_sender() -> None:
    assert check_reverse_path("a@b.example") == "a@b.example"


def test_an_empty_sender_is_refused_with_a_hint_to_the_null_reverse_path() -> None:
    with pytest.raises(AddressError, match='null reverse-path is written "<>"'):
        check_reverse_path("")


@pytest.mark.parametrize("text", ["< >", " <>", "<>\r\n", "postmaster"], ids=repr)
def test_what_resembles_a_sender_is_refused(text: str) -> None:
    with pytest.raises(AddressError):
        check_reverse_path(text)


@pytest.mark.parametrize("text", ["postmaster", "Postmaster", "POSTMASTER", "a@b.example"])
def test_postmaster_in_any_case_is_a_recipient(text: str) -> None:
    assert check_forward_path(text) == text


@pytest.mark.parametrize("text", ["<>", "", "postmaster ", "postma\u017fter", "abuse"], ids=ascii)
def test_what_resembles_a_recipient_is_refused(text: str) -> None:
    with pytest.raises(AddressError):
        check_forward_path(text)


@pytest.mark.parametrize(
    ("text", "local", "domain"),
    [
        ("a@b.example", "a", "b.example"),
        ('"evil@x.example y"@good.example', '"evil@x.example y"', "good.example"),
        (r'"a\"@x.example"@good.example', r'"a\"@x.example"', "good.example"),
        ("a@[IPv6:::1]", "a", "[IPv6:::1]"),
        ("é@bücher.example", "é", "bücher.example"),
        ("Postmaster", "Postmaster", ""),
    ],
)
def test_a_mailbox_is_split_at_the_last_at_sign_outside_quotes(
    text: str, local: str, domain: str
) -> None:
    assert split_mailbox(check_forward_path(text)) == (local, domain)


@pytest.mark.parametrize(
    "name",
    [
        "localhost",
        "mail.example.com",
        "xn--bcher-kva.example",
        "[192.0.2.1]",
        "[IPv6:2001:db8::1]",
        "[tag:content]",
        "HOST-1",
        ".".join([LABEL_63] * 4),
    ],
)
def test_a_domain_or_address_literal_is_an_ehlo_name(name: str) -> None:
    assert check_ehlo_name(name) == name


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("", "it is empty"),
        ("host name", "' ' may not stand"),
        ("host\r\nMAIL FROM:<>", "control character"),
        ("my_host", "'_' may not stand"),
        ("host.", "ends with a dot"),
        ("192.0.2.1", r'write "\[192\.0\.2\.1\]"'),
        ("::1", "':' may not stand"),
        ("[::1]", r"\[IPv6:::1\]"),
        ("bücher.example", "must be ASCII; give the A-labels"),
        ("user@host", "'@' may not stand"),
        (f"{'.'.join([LABEL_63] * 4)}.l", "257 octets; 255"),
        ("-host", "hyphen"),
    ],
)
def test_anything_else_is_an_invalid_ehlo_name(name: str, message: str) -> None:
    with pytest.raises(AddressError, match=message) as caught:
        check_ehlo_name(name)
    assert str(caught.value).startswith("invalid EHLO name ")


@pytest.mark.parametrize(
    ("text", "needed"),
    [
        ("a@b.example", False),
        ("a@bücher.example", False),
        ("é@b.example", True),
        ("é@bücher.example", True),
        ('"é@x"@b.example', True),
        ("postmaster", False),
        ("<>", False),
        ("", False),
    ],
)
def test_only_a_non_ascii_local_part_needs_smtputf8(text: str, needed: bool) -> None:
    assert needs_smtputf8(text) is needed


@pytest.mark.parametrize(
    ("text", "ascii_text"),
    [
        ("a@b.example", "a@b.example"),
        ("a@bücher.example", "a@xn--bcher-kva.example"),
        ("a@Bücher.Example", "a@xn--bcher-kva.Example"),
        ("a@bu\u0308cher.example", "a@xn--bcher-kva.example"),
        ('"x@é.example"@é.example', '"x@é.example"@é.example'),
        ('"x@y"@é.example', '"x@y"@xn--9ca.example'),
        ("a@例子.测试", "a@xn--fsqu00a.xn--0zwm56d"),
        ("é@bücher.example", "é@bücher.example"),
        ("postmaster", "postmaster"),
        ("<>", "<>"),
        ("", ""),
        # IDNA2003 would write to strasse.example, somebody else's domain.
        ("a@straße.example", "a@xn--strae-oqa.example"),
        ("a@βόλος.example", "a@xn--nxasmm1c.example"),
        ("a@ΒΌΛΟΣ.example", "a@xn--nxasmq6b.example"),
    ],
)
def test_a_domain_gets_its_a_labels_when_only_it_is_not_ascii(text: str, ascii_text: str) -> None:
    assert to_ascii_domain(text) == ascii_text


def test_the_a_labels_are_those_of_the_stdlib_where_both_idnas_agree() -> None:
    for label in ("bücher", "παράδειγμα", "例子", "пример", "उदाहरण", "실례", "مثال", "דוגמה"):
        assert to_ascii_domain(f"a@{label}.example") == f"a@{label.encode('idna').decode()}.example"


def test_a_domain_without_a_labels_is_an_error_that_names_the_address() -> None:
    with pytest.raises(AddressError, match="invalid address 'a@\\\\xe9_b': '_' may not stand"):
        to_ascii_domain("a@é_b")


ATEXT = "abcxyzABCXYZ0123456789!#$%&'*+-/=?^_`{|}~"
UTF8 = "éßçñøδжשم例子क\U0001f600\U00020000"
LET_DIG = "abcxyzABCXYZ0123456789"

atoms = st.text(ATEXT + UTF8, min_size=1, max_size=8)
dot_strings = st.lists(atoms, min_size=1, max_size=3).map(".".join)
qcontents = st.one_of(
    st.sampled_from([chr(code) for code in range(0x20, 0x7F) if chr(code) not in '"\\'] + [*UTF8]),
    st.integers(0x20, 0x7E).map(lambda code: f"\\{chr(code)}"),
)
quoted_strings = st.lists(qcontents, max_size=12).map(lambda parts: f'"{"".join(parts)}"')
ascii_labels = st.from_regex(r"[a-zA-Z0-9]([a-zA-Z0-9-]{0,12}[a-zA-Z0-9])?", fullmatch=True)
u_labels = st.text("abcéßçñø", min_size=1, max_size=8)
domains = (
    st.lists(ascii_labels | u_labels, min_size=1, max_size=4)
    .map(".".join)
    .filter(lambda domain: not re.fullmatch(r"[0-9]+(\.[0-9]+){3}", domain))
)
literals = st.one_of(
    st.ip_addresses(v=4).map(str),
    st.ip_addresses(v=6).map(lambda ip: f"IPv6:{ip}"),
    st.ip_addresses(v=6).map(lambda ip: f"ipv6:{ip.exploded}"),
).map(lambda content: f"[{content}]")
mailboxes = st.builds("{}@{}".format, dot_strings | quoted_strings, domains | literals).filter(
    lambda text: len(text.rpartition("@")[0].encode()) <= 64
)
hostile = st.text('ab19.-@"\\<>[]:;,() _%!\r\n\0\t\x7f\x85é\u3002\u2028\uff20\ud800', max_size=24)


@given(mailboxes)
def test_every_mailbox_of_the_grammar_comes_back_unchanged(text: str) -> None:
    assert check_mailbox(text) == text
    local, domain = split_mailbox(text)
    assert f"{local}@{domain}" == text
    assert "@" not in domain
    assert needs_smtputf8(text) is not local.isascii()
    ascii_text = to_ascii_domain(text)
    assert split_mailbox(ascii_text)[0] == local
    assert ascii_text.isascii() is local.isascii()
    assert check_mailbox(ascii_text) == ascii_text
    assert to_ascii_domain(ascii_text) == ascii_text


def outside_quotes(text: str) -> str:
    """Leave out a quoted local part, found from the left as a server finds it."""
    return re.sub(r'^"(?:[^"\\]|\\.)*"', "", text, flags=re.DOTALL)


@given(st.text(max_size=40) | hostile | st.builds("{}@{}".format, hostile, hostile) | mailboxes)
@example('"\\"@b> SIZE=1')
@example('"a"b"@c')
def test_any_text_comes_back_as_it_was_or_is_refused(text: str) -> None:
    for check in (check_mailbox, check_reverse_path, check_forward_path, check_ehlo_name):
        try:
            checked = check(text)
        except AddressError as exc:
            assert_one_printable_line(str(exc))
            continue
        assert checked == text
        assert not re.search(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]", checked)
        assert len(checked.splitlines()) == 1
        assert checked.encode()
        if checked != "<>":
            assert not set(outside_quotes(checked)) & set(' <>,;()"\\')


@given(st.text('a1.-@"\\ é_>', max_size=14) | mailboxes)
def test_the_short_cut_lets_nothing_in_that_the_long_way_refuses(text: str) -> None:
    if len(text) <= address._COMMON_LIMIT and address._COMMON.fullmatch(text):
        address._check_mailbox(text)


# The grammar once more, copied rule by rule and matched naively: a second opinion.
ATOM_RULE = r"[a-zA-Z0-9!#$%&'*+\-/=?^_`{|}~]+"
QUOTED_RULE = r'"(?:[\x20-\x21\x23-\x5b\x5d-\x7e]|\\[\x20-\x7e])*"'
SUB_DOMAIN_RULE = r"[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?"
SNUM_RULE = r"(?:0|[1-9][0-9]?|1[0-9][0-9]|2[0-4][0-9]|25[0-5])"
MAILBOX_RULE = re.compile(
    rf"(?:{ATOM_RULE}(?:\.{ATOM_RULE})*|{QUOTED_RULE})@"
    rf"(?:(?![0-9]+(?:\.[0-9]+){{3}}$){SUB_DOMAIN_RULE}(?:\.{SUB_DOMAIN_RULE})*"
    rf"|\[{SNUM_RULE}(?:\.{SNUM_RULE}){{3}}\])"
)


@given(
    st.text('a1.-@"\\ _>[]', max_size=12)
    | st.builds("a@{}".format, st.text("a12.-[]", max_size=14))
    | st.builds('"{}"@{}'.format, st.text('a"\\ @>', max_size=6), st.text("a.-", max_size=5))
)
@example("a@1.2.3.4")
@example("a@[1.2.3.4]")
def test_short_ascii_texts_are_judged_as_the_rfc_has_it(text: str) -> None:
    try:
        check_mailbox(text)
    except AddressError:
        assert not MAILBOX_RULE.fullmatch(text)
    else:
        assert MAILBOX_RULE.fullmatch(text)
