"""Objects of the `email` package at random, and what is in them."""

import email
import email.policy
from email.message import EmailMessage, Message
from email.mime.application import MIMEApplication
from email.mime.message import MIMEMessage
from email.mime.multipart import MIMEMultipart
from email.mime.text import MIMEText
from typing import Any

from hypothesis import assume
from hypothesis import strategies as st

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
