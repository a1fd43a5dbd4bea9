"""Secrets show as three asterisks, also in what a server says."""

import base64
import copy
import pickle
import traceback
from urllib.parse import quote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pykka_smtp.smtp.sasl.secret import Redactor, Secret, leaks_of
from pykka_smtp.smtp.words.reply_parser import ReplyParser

# No asterisks: a secret made of them can't be told from its mask.
PASSWORDS = st.text(st.characters(codec="utf-8", exclude_characters="*"), min_size=4)


def b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def redact(text: str, *secrets: str, user: str | None = "me") -> str:
    return Redactor(leaks_of(*secrets, user=user)).redact(text)


def test_a_secret_shows_nowhere_that_prints_it() -> None:
    secret = Secret("hunter2")

    assert [repr(secret), str(secret), f"{secret}", f"{secret:>9}", f"{secret!r}"] == ["***"] * 5
    assert "%s" % secret == "***"  # noqa: UP031 - that one, too
    assert repr({"password": secret}) == "{'password': ***}"


def test_reveal_returns_the_secret() -> None:
    assert Secret("hunter2").reveal() == "hunter2"


def test_secrets_of_the_same_value_are_equal() -> None:
    assert Secret("hunter2") == Secret("hunter2")
    assert hash(Secret("hunter2")) == hash(Secret("hunter2"))
    assert Secret("hunter2") != Secret("hunter3")
    assert Secret("hunter2") != "hunter2"


def test_a_secret_is_true_unless_it_is_empty() -> None:
    assert Secret("hunter2")
    assert not Secret("")


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_secret_can_not_be_pickled(protocol: int) -> None:
    with pytest.raises(TypeError, match="never pickled"):
        pickle.dumps(Secret("hunter2"), protocol)


def test_the_state_of_a_secret_can_not_be_had() -> None:
    with pytest.raises(TypeError, match="never pickled"):
        Secret("hunter2").__getstate__()
    assert not hasattr(Secret("hunter2"), "__dict__")


def test_the_copy_of_a_secret_is_the_secret() -> None:
    secret = Secret("hunter2")

    assert copy.copy(secret) is secret
    assert copy.deepcopy([secret])[0] is secret


def test_a_secret_that_is_not_a_str_is_rejected_and_not_shown() -> None:
    with pytest.raises(TypeError, match="needs a str, not bytes") as caught:
        Secret(b"hunter2")  # type: ignore[arg-type]

    assert caught.tb is not None
    told = traceback.TracebackException(
        caught.type, caught.value, caught.tb.tb_next, capture_locals=True
    )
    assert "hunter2" not in "".join(told.format())


@pytest.mark.parametrize(
    "echo",
    [
        "hunter2",
        "HUNTER2",
        "Hunter2",
        b64("hunter2"),
        b64("hunter2").rstrip("="),
        b64("hunter2").lower(),
        b64("hunter2\r\n"),
        b64("\0me\0hunter2"),
        b64("me\0me\0hunter2"),
        b64("me:hunter2"),
        b64("user=me\x01auth=Bearer hunter2\x01\x01"),
        b64("me"),
        b"hunter2".hex(),
        b"hunter2".hex().upper(),
        b"hunter2".hex(":"),
    ],
)
def test_what_a_server_echoes_is_masked(echo: str) -> None:
    assert redact(f"5.7.8 no <{echo}>!", "hunter2") == "5.7.8 no <***>!"


@pytest.mark.parametrize(
    "echo",
    [
        quote("pä/ss+wört?"),
        quote("pä/ss+wört?", safe=""),
        "p%c3%a4/ss%2bw%c3%b6rt%3f",
        base64.urlsafe_b64encode("pä/ss+wört?".encode()).decode(),
        "PÄ/SS+WÖRT?",
        r"p\xe4/ss+w\xf6rt?",
        r"p\\xe4/ss+w\\xf6rt?",
        r"p\u00e4/ss+w\u00f6rt?",
    ],
)
def test_a_secret_with_odd_characters_is_known_in_every_form(echo: str) -> None:
    assert redact(f"no: {echo}", "pä/ss+wört?") == "no: ***"


def test_a_secret_is_known_in_urlsafe_base64() -> None:
    encoded = base64.urlsafe_b64encode(b"\xc3\xbf\xc3\xbf\xc3\xbf").decode()

    assert "-" in base64.urlsafe_b64encode("ûûûû>>>???".encode()).decode()
    assert redact(encoded, "ÿÿÿ") == "***"
    assert redact(base64.urlsafe_b64encode("ûûûû>>>???".encode()).decode(), "ûûûû>>>???") == "***"


@pytest.mark.parametrize("octets", ["pass\xa0wörd".encode(), "pass\xa0wörd".encode("latin-1")])
def test_a_secret_is_known_as_the_reply_parser_shows_it(octets: bytes) -> None:
    parser = ReplyParser()
    parser.feed(b"535 wrong password: " + octets + b"\r\n")
    reply = parser.next_reply()

    assert reply is not None
    assert redact(reply.text, "pass\xa0wörd") == "wrong password: ***"


@given(PASSWORDS, st.binary(), st.binary())
def test_a_secret_is_masked_wherever_in_base64_it_stands(
    password: str, before: bytes, behind: bytes
) -> None:
    text = base64.b64encode(before + password.encode() + behind).decode()

    assert "***" in redact(text, password, user=None)


@given(PASSWORDS, st.none() | PASSWORDS, st.data())
@example("password", "user", None)
def test_no_form_of_a_secret_is_left_in_a_scrubbed_text(
    password: str, user: str | None, data: st.DataObject | None
) -> None:
    forms = leaks_of(password, user=user)
    some = list(forms) if data is None else data.draw(st.lists(st.sampled_from(forms), max_size=5))
    left = Redactor(forms).redact(" and ".join(["it is", *some, "it was"]))

    assert left.startswith("it is")
    assert [
        form for form in forms if form.lower() in left.lower() and form not in "it is and"
    ] == []


@given(st.text())
def test_a_text_without_secrets_stays_as_it_is(text: str) -> None:
    assert redact(text, "\ue000 no text has this \ue000") == text
    assert Redactor().redact(text) == text
    assert redact(text) == text


def test_a_redactor_accepts_lone_surrogates() -> None:
    assert redact("a lone \ud800 and hunter2", "hunter2") == "a lone \ud800 and ***"


def test_overlapping_secrets_leave_no_rest() -> None:
    scrubber = Redactor(("hunter", "terrible", "able"))

    assert scrubber.redact("a hunterrible thing") == "a *** thing"
    assert scrubber.redact("hunterable terrible") == "*** ***"
    assert Redactor(("abab",)).redact("xabababx") == "x***x"


def test_several_secrets_are_masked_at_once() -> None:
    assert redact("hunter2 or ya29.token", "hunter2", "ya29.token") == "*** or ***"


def test_the_forms_come_longest_first_and_none_is_short() -> None:
    forms = leaks_of("hunter2", "tok", user="me")

    assert sorted(forms, key=len, reverse=True) == list(forms)
    assert min(map(len, forms)) >= 4
    assert "tok" not in forms
    assert {"hunter2", "68756e74657232", "68756E74657232"} <= {*forms, "68756E74657232"}
    assert len(set(forms)) == len(forms)


def test_hexadecimal_forms_come_in_both_cases() -> None:
    forms = leaks_of("joke", user=None)

    assert "6a6f6b65" in forms
    assert "6A6F6B65" in forms


def test_without_a_secret_there_is_nothing_to_leak() -> None:
    assert leaks_of(user="somebody") == ()
    assert leaks_of("", user="somebody") == ()


def test_an_empty_form_masks_nothing() -> None:
    assert Redactor(("",)).redact("text") == "text"
