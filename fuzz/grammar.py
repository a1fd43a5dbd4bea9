"""The fourth target: what people write: addresses, EHLO names, relay URLs, credentials."""

# Invariant: whatever text is given, it is refused with a ValueError of one printable line, or it
# is taken exactly as it stands, and is then harmless: it fits the grammar of the place where it
# goes, reads back as the same, and no error and no repr shows a password.

import re
from collections.abc import Callable, Sequence
from urllib.parse import quote, unquote

from pykka_smtp.actors.options.relay_url import Relay, parse_relay_url
from pykka_smtp.smtp.mail.address import (
    check_ehlo_name,
    check_forward_path,
    check_mailbox,
    check_reverse_path,
    needs_smtputf8,
    split_mailbox,
    to_ascii_domain,
)
from pykka_smtp.smtp.mail.envelope import Envelope
from pykka_smtp.smtp.sasl.credentials import Credentials
from pykka_smtp.smtp.sasl.mechanisms import CramMd5, Login, Oauthbearer, Plain, Xoauth2
from pykka_smtp.smtp.sasl.secret import Secret
from pykka_smtp.smtp.words.command import ehlo, mail, rcpt

from .choices import Choices
from .violation import insist

_MARK = "m4rk-Of~s3cret"
"""Stands in each password, so that it can be found where it must not be."""

_MILD = (
    *(
        "a",
        "b.c",
        "user",
        "d.test",
        ".",
        "-",
        "+",
        "_",
        "=",
        "~",
        "'",
        "1",
        "25",
        "tag",
        "x",
        "A.B",
    ),
    *(
        "\u5c71",
        "\u00e4",
        "\u00df",
        "\u03c2",
        "\u0301",
        "\u05d0",
        "xn--",
        "a" * 60,
        '"a b"',
        '"@"',
        "*",
    ),
)
_HOSTILE = (
    *(
        '"',
        "\\",
        " ",
        "<",
        ">",
        "(",
        ")",
        ",",
        ";",
        ":",
        "[",
        "]",
        "[192.0.2.1]",
        "[IPv6:::1]",
        "127.1",
    ),
    *(
        "\r\n",
        "\n",
        "\r",
        "\0",
        "\t",
        "\x7f",
        "\x85",
        "\u2028",
        "\ud800",
        "\u200b",
        "\uff20",
        "\u202e",
    ),
    *(
        "postmaster",
        "<>",
        "b" * 200,
        "192.0.2.1",
        "=?",
        "%",
        "%0d%0a",
        "%40",
        "/",
        "?",
        "#",
        "&",
        "@",
    ),
    *(
        "\u0663",
        "\uff11",
        "..",
        "@@",
        "a@b,c@d",
        "tag:x",
        "[tag:x]",
        "[]",
        "\\\r",
        "\xad",
        "\ufdd0",
    ),
)
_URL_PIECES = (
    *("smtp://", "smtps://", "lmtp://", "lmtp+unix://", "SMTP://", "http://", "smtp:/", "smtp:"),
    *("user", ":", "@", "mail.d.test", "127.0.0.1", "[::1]", ":587", ":25", ":0", ":65536", ":1a"),
    *(
        "/",
        "/run/x",
        "?",
        "&",
        "=",
        "#",
        "%40",
        "%0a",
        "%",
        "%zz",
        "%ff",
        "+",
        "timeout=10",
        "tls=off",
    ),
    *("tls=starttls", "auth=PLAIN,LOGIN", "debug=1", "alias=x", "deadline=1e9", "timeout=nan"),
    *("local_hostname=c.test", "source_address=127.0.0.1", "source_address=[::1]:0", "x=y"),
    *(
        "\u5c71.test",
        "\uff0f",
        "127.1",
        "0x7f.1",
        "a..b",
        "-",
        "_",
        " ",
        "\r\n",
        "\0",
        "\u2028",
        "\ud800",
    ),
)
_SCHEMES = (
    *("smtp://", "smtps://", "lmtp://", "SMTP://", "lmtp+unix://", "smtp:/", ""),
    *("record:", "NULL:", "file://", "sendmail://"),
)
_DOMAIN = r"[A-Za-z0-9]+(?:-+[A-Za-z0-9]+)*"
_MAILBOX = re.compile(
    r"(?:[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]+|\"(?:[ !#-\[\]-~]|\\[ -~])*\")"
    rf"@(?:{_DOMAIN}(?:\.{_DOMAIN})*|\[[A-Za-z0-9:.!#-;=?^-~-]+\])"
)
"""The Mailbox of RFC 5321 §4.1.2, not quite as strict, and written once more."""
_EHLO_NAME = re.compile(rf"{_DOMAIN}(?:\.{_DOMAIN})*|\[[!-Z^-~]+\]")

SEEDS: Sequence[bytes] = (
    b"",
    bytes([0, 2, 0, 0, 3, 4]),
    bytes([1, 3, 0, 8, 3, 9]),
    bytes([4, 0, 0, 0, 9, 9, 9]),
    bytes([5, 5, 0, 8, 9, 10, 11, 12, 13]),
    bytes([3, 20, 21, 22, 23]),
)
"""Inputs to begin with."""


def run(data: bytes) -> str:
    """Check one text.

    Returns:
        What it was, and whether it was taken.
    """
    choices = Choices(data)
    kind, check = choices.pick(_KINDS)
    try:
        check(choices)
    except ValueError as error:
        _check_error(error)
        return f"{kind}: refused"
    return f"{kind}: taken"


def _check_error(error: ValueError) -> None:
    shown = str(error)
    insist(shown and shown.isprintable(), f"an error of several lines: {shown!r}")
    insist(len(shown) <= 600, f"an error that nobody reads: {shown!r}")
    insist(_MARK not in shown, f"an error that shows a password: {shown!r}")


def _text(choices: Choices) -> str:
    if choices.one_in(4):
        return choices.octets(64).decode("utf-8", "surrogateescape")
    return "".join(
        choices.pick(_HOSTILE if choices.one_in(8) else _MILD) for _ in range(choices.below(6) + 1)
    )


def _mailbox(choices: Choices) -> None:
    check = choices.pick((check_mailbox, check_forward_path, check_reverse_path))
    text = _text(choices)
    if not choices.one_in(4):
        text += "@" + choices.pick(("d.test", "\u5c71.test", "[192.0.2.1]", "d-.test", "D.TEST"))
    insist(check(text) == text, "an address that was rewritten")
    if text == "<>" or "@" not in text:
        insist(text == "<>" or text.lower() == "postmaster", "no address, and taken")
        return
    local, domain = split_mailbox(text)
    insist(f"{local}@{domain}" == text, "an address that comes apart")
    insist(needs_smtputf8(text) is not local.isascii(), "wrong about SMTPUTF8")
    in_ascii = to_ascii_domain(text)
    insist(to_ascii_domain(in_ascii) == in_ascii, "other A-labels the second time")
    insist(len(in_ascii.encode()) <= 254 and len(local.encode()) <= 64, "too long, and taken")
    if local.isascii():
        insist(in_ascii.startswith(f"{local}@"), "another local part")
        insist(_MAILBOX.fullmatch(in_ascii), f"no Mailbox, and taken: {text!r}")
        insist(check_mailbox(in_ascii) == in_ascii, "refused in A-labels")
    insist(mail(in_ascii).wire.count(b"\n") == 1, "two commands in one")
    insist(rcpt(in_ascii).wire.endswith(b">\r\n"), "more than a path")
    envelope = Envelope.of(text, (text, text))
    insist((envelope.reverse_path, envelope.forward_paths) == (text, (text,)), "another envelope")


def _ehlo_name(choices: Choices) -> None:
    text = _text(choices)
    insist(check_ehlo_name(text) == text, "a name that was rewritten")
    insist(_EHLO_NAME.fullmatch(text), f"no name for EHLO, and taken: {text!r}")
    insist(ehlo(text).wire == f"EHLO {text}\r\n".encode("ascii"), "another command")


def _credentials(choices: Choices) -> None:
    user, password = _text(choices), _MARK + _text(choices)
    make: Callable[[], object] = choices.pick(
        (
            lambda: Plain(user, Secret(password)).start(),
            lambda: Login(user, Secret(password)).respond(b"Username:"),
            lambda: CramMd5(user, Secret(password)).respond(b"<1@x.test>"),
            lambda: Xoauth2(user, Secret(password)).start(),
            lambda: Oauthbearer(user, Secret(password), "x.test", 25).start(),
            lambda: repr(Credentials(username=user, password=Secret(password))),
            lambda: repr(Credentials(username=user, token=Secret(password))),
        )
    )
    made = make()
    if isinstance(made, str):
        insist(_MARK not in made, "a repr that shows a password")
        return
    insist(isinstance(made, bytes), "a mechanism that says nothing")
    assert isinstance(made, bytes)
    insist(made.count(b"\0") in {0, 2}, "a NUL in a field of PLAIN (RFC 4616 §2)")
    insist(b"\r" not in made and b"\n" not in made, "a line end in a response")


def _url(choices: Choices) -> None:
    """Write a URL of pieces; the password is where one would be."""
    scheme = choices.pick(_SCHEMES) if choices.below(4) else ""
    rest = "".join(choices.pick(_URL_PIECES) for _ in range(choices.below(6) + 1))
    if choices.one_in(2):
        place = choices.pick(("mail.d.test", "127.0.0.1:25", "[::1]:587", "\u5c71.test", ""))
        tail = choices.pick(("", "", "/", "?", "?timeout=2", "/run/x", "?tls=off&debug=1", "#x"))
        noise = choices.pick(("", "", "%40", "x", "/", "@", ":", "?", "%0a", "\n", "%", "#", "+"))
        text = f"{scheme or 'smtp://'}user:{_MARK}{noise}@{place}{tail}"
    else:
        text = scheme + rest
    relay = parse_relay_url(text)
    insist(_MARK not in repr(relay), "a repr that shows a password")
    _check_relay(relay, text)


def _check_relay(relay: Relay, text: str) -> None:
    """See that the relay is what the URL says, taken apart in the plainest way."""
    if relay.outlet is not None:
        _check_outlet(relay, text)
        return
    scheme, _, rest = text.partition("://")
    insist(relay.scheme == scheme.lower(), "another scheme")
    rest, _, _ = rest.partition("?")
    if relay.scheme == "lmtp+unix":
        insist(relay.path == unquote(rest) and "\0" not in rest, "another path")
        insist(not relay.host and not relay.port, "a host beside a path")
        return
    userinfo, at, place = rest.removesuffix("/").rpartition("@")
    user, colon, password = userinfo.partition(":")
    insist((relay.username or "") == unquote(user), "another user")
    insist((relay.username is not None) is bool(at), "a user, or none")
    shown = "" if relay.password is None else relay.password.reveal()
    insist(shown == unquote(password) and bool(colon) is bool(shown), "another password")
    host = f"[{relay.host}]" if ":" in relay.host else relay.host
    insist(place in {host, f"{host}:{relay.port}"}, f"another place: {place!r}")
    insist(0 < relay.port < 65536, "no port")
    insist(relay.host.isprintable() and not set(relay.host) & set(" /@?#%\\"), "a hostile host")
    again = f"{quote(relay.username or '', safe='')}:{quote(shown, safe='')}@" if shown else ""
    same = parse_relay_url(f"{relay.scheme}://{again}{host}:{relay.port}")
    insist((same.host, same.port) == (relay.host, relay.port), "another relay the second time")
    insist(same.password == relay.password, "another password the second time")


def _check_outlet(relay: Relay, text: str) -> None:
    scheme, _, rest = text.partition(":")
    place = rest.partition("?")[0]
    insist(relay.scheme == scheme.lower(), "another scheme")
    insist(not (relay.host or relay.port or relay.username or relay.password), "a server, too")
    if relay.path is None:
        insist(place in {"", "//"}, "a place that is lost")
    else:
        insist(relay.path == unquote(place.removeprefix("//")), "another path")
        insist(relay.path.startswith("/") and "\0" not in relay.path, "a path that is none")


_KINDS: Sequence[tuple[str, Callable[[Choices], None]]] = (
    ("mailbox", _mailbox),
    ("mailbox", _mailbox),
    ("mailbox", _mailbox),
    ("EHLO name", _ehlo_name),
    ("URL", _url),
    ("URL", _url),
    ("credentials", _credentials),
)
