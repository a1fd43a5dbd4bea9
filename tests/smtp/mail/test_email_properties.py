"""Objects of the email package at random: none hangs, and what arrives is what went in."""

import contextlib
import email
import email.policy
from email.header import Header
from email.message import EmailMessage, Message
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from servers.random_mails import POLICIES, bodies, leaves_of, policies, texts, trees

from pykka_smtp import SendMail
from pykka_smtp.smtp.mail.content import CompleteContent
from pykka_smtp.smtp.mail.mail_data import scan

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
