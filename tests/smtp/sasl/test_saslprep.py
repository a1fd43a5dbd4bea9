"""What may stand in user names, passwords and tokens."""

import traceback
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pykka_smtp.smtp.sasl.saslprep import MAX_FIELD, check_prepared, check_text, check_token
from pykka_smtp.smtp.sasl.secret import Secret


@pytest.mark.parametrize("text", ["x", "pässword", "a b", "😀", "\xad", "=,", "x" * MAX_FIELD])
def test_text_is_taken(text: str) -> None:
    check_text("password", text)
    check_text("password", Secret(text))


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "empty"),
        ("a\0b", "control character"),
        ("a\r\nb", "control character"),
        ("a\x01b", "control character"),
        ("a\x7fb", "control character"),
        ("a\x85b", "control character"),
        ("secret\n", "read from a file"),
        ("secret\r\n", "read from a file"),
        ("a\ud800b", "lone surrogate"),
        ("ä" * (MAX_FIELD // 2) + "x", "longer than 8192 octets"),
    ],
)
def test_what_no_mechanism_can_take_is_refused(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=rf"^password: .*{why}"):
        check_text("password", text)
    with pytest.raises(ValueError, match=rf"^password: .*{why}"):
        check_text("password", Secret(text))


def test_nothing_is_taken_where_it_is_something() -> None:
    check_text("authzid", "", may_be_empty=True)
    with pytest.raises(ValueError, match="control"):
        check_text("authzid", "\0", may_be_empty=True)


@pytest.mark.parametrize(
    "text",
    [
        "user",
        "I\xadX",
        "\xaa",
        "\u2168",
        "pass\xa0word",
        "\u0627\u0628",
        "\u0627 1 \u0628",
        "\xe4\xdf",
    ],
)
@pytest.mark.parametrize("stored", [True, False])
def test_saslprep_takes_what_the_rfc_takes(text: str, stored: bool) -> None:  # RFC 4013 §3
    check_prepared("password", text, stored=stored)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("\x07", "a character"),  # C.2.1; RFC 4013 §3
        ("\x85", "a character"),  # C.2.2
        ("\ue000", "a character"),  # C.3
        ("\ufdd0", "a character"),  # C.4
        ("\ud800", "a character"),  # C.5
        (chr(0xFFFD), "a character"),  # C.6
        ("\u2ff0", "a character"),  # C.7
        ("\u200e", "a character"),  # C.8
        ("\U000e0001", "a character"),  # C.9
        ("\u06271", "writing directions"),  # RFC 4013 §3
        ("1\u0627", "writing directions"),
        ("\u0627a\u0628", "writing directions"),
        ("\xad", "nothing visible"),
    ],
)
@pytest.mark.parametrize("stored", [True, False])
def test_saslprep_refuses_what_the_rfc_prohibits(text: str, why: str, stored: bool) -> None:
    with pytest.raises(ValueError, match=f"^password: .*{why}.*SASLprep"):
        check_prepared("password", Secret(text), stored=stored)


def test_what_unicode_did_not_know_yet_is_refused_in_stored_strings_alone() -> None:
    check_prepared("password", "😀", stored=False)
    with pytest.raises(ValueError, match=r"newer than Unicode 3\.2"):
        check_prepared("password", "😀", stored=True)


@pytest.mark.parametrize("token", ["ya29.a0-_~+/==", "!", "~"])
def test_a_token_is_taken(token: str) -> None:
    check_token("token", Secret(token))


@pytest.mark.parametrize("token", ["", "Bearer ya29", "tök", "a\x01b", "a\n", " ", "\ud800"])
def test_what_can_not_stand_behind_bearer_is_refused(token: str) -> None:
    with pytest.raises(ValueError, match=r"^token: "):
        check_token("token", Secret(token))


def frames_told(check: Callable[[], None]) -> str:
    """What a tool for error reports prints of a check that fails, this file's frames aside."""
    with pytest.raises(ValueError, match=r"^field: ") as caught:
        check()
    trace = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    return "\n".join(
        [str(caught.value), *(str(at.locals) for at in trace.stack if at.filename != __file__)]
    )


@given(st.text(), st.booleans())
def test_no_error_tells_anything_of_the_secret(text: str, stored: bool) -> None:
    secret = Secret(f"<~{text}~>\ufff9\n")
    told = (
        frames_told(lambda: check_text("field", secret)),
        frames_told(lambda: check_token("field", secret)),
        frames_told(lambda: check_prepared("field", secret, stored=stored)),
    )

    assert all("***" in text for text in told)  # frames were looked into
    assert not any("<~" in text or "~>" in text for text in told)
