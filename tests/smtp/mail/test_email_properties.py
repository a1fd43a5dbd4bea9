"""Objects of the email package at random: none hangs, and what arrives is what went in."""

import contextlib
import email
import email.policy
from email.header import Header
from email.message import EmailMessage, Message
from email.mime.application import MIMEApplication
from email.mime.message import MIMEMessage
from email.mime.multipart import MIMEMultipart
from email.mime.text import MIMEText
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from pykka_smtp import SendMail
from pykka_smtp.smtp.mail.content import CompleteContent
from pykka_smtp.smtp.mail.mail_data import scan

POLICIES = [
    email.policy.compat32,
    email.policy.default,
    email.policy.SMTP,
    email.policy.SMTPUTF8,
    email.policy.default.clone(max_line_length=20),
    email.policy.SMTP.clone(refold_source="all", cte_type="7bit"),
]
policies = st.sampled_from(POLICIES)
texts = st.text(
    st.one_of(
        st.sampled_from(' "\\,;:<>()@=?_.\u00e4\u00df\u20ac\U0001f600'),
        st.characters(min_codepoint=33, max_codepoint=0x2FF, exclude_characters="\x7f"),
    ),
    max_size=120,
).filter(lambda text: len(text.splitlines()) < 2)
bodies = st.text(st.sampled_from("ab \t.=\u00e4\u20ac\n"), max_size=200)
atoms = st.text(st.sampled_from("abcxyz019"), min_size=1, max_size=8)
addresses = st.builds(lambda local, host: f"{local}@{host}.example", atoms, atoms)
utf8_addresses = addresses.map(lambda address: f"\u00e4{address}")
names = st.text(st.sampled_from('ab ,."\\@<>()=?_\u00e4\u20ac'), max_size=60).map(str.strip)
long_runs = st.integers(0, 1500).map(lambda length: "r" * length)


def quoted(name: str) -> str:
    return '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'


def content(message: object) -> CompleteContent:
    made = SendMail(sender="a@b.test", recipients="c@d.test", message=message).content  # type: ignore[arg-type]
    assert isinstance(made, CompleteContent)
    return made


def content_or_refusal(message: object) -> CompleteContent | None:
    try:
        return content(message)
    except ValueError as error:
        said = str(error)
    assert said.startswith("message: ")
    assert said.isprintable()
    return None


@st.composite
def leaves(draw: st.DrawFn) -> "Message[Any, Any]":
    policy = draw(policies)
    match draw(st.integers(0, 4)):
        case 0:
            charset = draw(st.sampled_from(["utf-8", "us-ascii", "iso-8859-15", "utf-16"]))
            text = draw(bodies) if charset != "us-ascii" else draw(bodies).encode().hex()
            return MIMEText(text, "plain", charset)
        case 1:
            return MIMEApplication(draw(st.binary(max_size=100)))
        case 2:
            message = EmailMessage(policy=POLICIES[1] if policy is POLICIES[0] else policy)
            cte = draw(st.sampled_from(["8bit", "quoted-printable", "base64"]))
            message.set_content(draw(bodies), cte=cte)
            return message
        case 3:
            attached = EmailMessage()
            name = draw(texts.filter(lambda text: text.isprintable()))
            attached.set_content(b"x", "application", "x", filename=name)
            return attached
        case _:
            raw = b"Content-Type: text/plain; charset=x-none\n\n" + draw(st.binary(max_size=60))
            assume(b"\r" not in raw)
            assume(b"\0" not in raw)
            return email.message_from_bytes(raw, policy=policy)


@st.composite
def trees(draw: st.DrawFn) -> "Message[Any, Any]":
    def wrap(parts: "list[Message[Any, Any]]") -> "Message[Any, Any]":
        outer = MIMEMultipart(draw(st.sampled_from(["mixed", "alternative", "related"])))
        for part in parts:
            outer.attach(part)
        return outer

    tree: Message[Any, Any] = draw(
        st.recursive(
            leaves(),
            lambda inner: st.one_of(
                st.lists(inner, min_size=1, max_size=3).map(wrap), inner.map(MIMEMessage)
            ),
            max_leaves=6,
        )
    )
    return tree


def leaves_of(message: "Message[Any, Any]") -> list[tuple[str, object, object]]:
    found: list[tuple[str, object, object]] = []
    for part in message.walk():
        if not part.is_multipart():
            text = part.get_payload(decode=True)
            assert isinstance(text, bytes)
            text = text.replace(b"\r\n", b"\n")
            found.append((part.get_content_type(), text.rstrip(b"\n"), part.get_filename()))
    return found


@pytest.mark.timeout(120)
@given(trees(), policies)
def test_a_tree_arrives_as_it_went_in(tree: "Message[Any, Any]", policy: Any) -> None:
    tree.policy = policy
    made = content(tree)
    for data in (made.data, made.render(eight_bit=False).data):
        assert data is not None
        assert data.replace(b"\r\n", b"").count(b"\n") == 0
        arrived = email.message_from_bytes(data, policy=email.policy.default)
        assert leaves_of(arrived) == leaves_of(tree)
    assert made.seven_bit is not None or made.data.isascii()
    assert not made.needs_smtputf8


@pytest.mark.timeout(120)
@given(
    texts,
    st.lists(st.tuples(names, addresses), min_size=1, max_size=5),
    st.one_of(st.none(), utf8_addresses),
    policies,
)
def test_a_header_arrives_as_it_went_in(
    subject: str, to: list[tuple[str, str]], utf8: str | None, policy: Any
) -> None:
    assume("=?" not in subject + "".join(name for name, _ in to))
    mailboxes = [f"{quoted(name)} <{address}>" for name, address in to]
    if utf8:
        mailboxes.append(utf8)
    message: Message[Any, Any] = Message() if policy is POLICIES[0] else EmailMessage(policy=policy)
    message["Subject"] = subject
    message["To"] = ", ".join(mailboxes)
    message.set_payload("x\n")

    made = content(message)
    assert made.needs_smtputf8 is (utf8 is not None)
    assert made.data.isascii() is (utf8 is None)
    head = made.data.partition(b"\r\n\r\n")[0]
    assert max(map(len, head.split(b"\r\n"))) <= 998
    arrived = email.message_from_string(made.data.decode(), policy=email.policy.default)
    assert [address.addr_spec for address in arrived["To"].addresses] == [
        *(address for _, address in to),
        *([utf8] if utf8 else []),
    ]
    # The library puts spaces between some encoded words (gh-92081).
    assert "".join(arrived["Subject"].split()) == "".join(subject.split())
    for (name, _), address in zip(to, arrived["To"].addresses, strict=False):
        assert "".join(address.display_name.split()) == "".join(name.split())


headers = st.one_of(
    texts,
    long_runs,
    st.builds(lambda run, text: f"text/plain; {run}={text}", long_runs, texts),
    st.builds(lambda run, text: f'a/b; x={run}; y="{text}"', long_runs, texts),
    st.builds(lambda run, text: f"<{run}@x> =?utf-8?q?{run}?= {text}", long_runs, texts),
    st.builds(lambda name, run: f"{name} <{run}@x.example>, ,;:", names, long_runs),
)
FIELDS = (
    *("Subject", "To", "Content-Type", "Content-Disposition", "References", "Date", "Message-ID"),
    *("DKIM-Signature", "Sender", "MIME-Version", "Content-Transfer-Encoding", "X-" + "n" * 300),
)
field_names = st.sampled_from(FIELDS)


@pytest.mark.timeout(120)
@settings(deadline=5000)
@given(st.lists(st.tuples(field_names, headers), max_size=6), bodies, policies, st.integers(0, 2))
def test_nothing_hangs_and_all_that_fails_is_a_value_error(
    fields: list[tuple[str, str]], body: str, policy: Any, how: int
) -> None:
    raw = "".join(f"{name}: {value}\n" for name, value in fields).encode() + b"\n" + body.encode()
    if how == 0:
        message = email.message_from_bytes(raw, policy=policy)
    elif how == 1:
        message = email.message_from_string(raw.decode(), policy=policy)
    else:
        message = Message(policy=policy) if policy is POLICIES[0] else EmailMessage(policy=policy)
        for name, value in fields:
            # What cannot be set does not come to us.
            with contextlib.suppress(Exception):
                message[name] = Header(value) if len(value) % 3 == 1 else value
        message.set_payload("x\n")
    made = content_or_refusal(message)
    if made is None:
        return
    head = made.data.partition(b"\r\n\r\n")[0]
    assert b"\n" not in head.replace(b"\r\n", b"")
    assert b"\r" not in head.replace(b"\r\n", b"")
    begun = [line for line in head.split(b"\r\n") if not line.startswith((b" ", b"\t"))]
    assert len(begun) <= len(message.keys()) + 2
    assert scan(made.data).size >= len(made.data)


@pytest.mark.timeout(120)
@given(st.binary(max_size=400), policies)
def test_any_octets_that_were_parsed_go_out_or_are_a_value_error(raw: bytes, policy: Any) -> None:
    message = email.message_from_bytes(raw, policy=policy)
    content_or_refusal(message)
