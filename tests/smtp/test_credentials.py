"""Who may say so, and how."""

import copy
import dataclasses
import functools

import pytest

from pykka_smtp.smtp.sasl import STRENGTH, Credentials, choose
from pykka_smtp.smtp.secret import Secret

SCRAM = ("SCRAM-SHA-256-PLUS", "SCRAM-SHA-256", "SCRAM-SHA-1-PLUS", "SCRAM-SHA-1")


def fetch(token: str) -> str:
    return token


def test_a_password_serves_all_mechanisms_that_take_one() -> None:
    credentials = Credentials(username="me", password=Secret("hunter2"))

    assert credentials.candidates == (*SCRAM, "CRAM-MD5", "PLAIN", "LOGIN")


@pytest.mark.parametrize("token", [Secret("ya29"), functools.partial(fetch, "ya29")])
def test_a_token_serves_the_mechanisms_that_take_one(token: Secret) -> None:
    assert Credentials(username="me", token=token).candidates == ("OAUTHBEARER", "XOAUTH2")


def test_with_both_a_token_and_a_password_all_but_external_can_serve() -> None:
    credentials = Credentials(username="me", password=Secret("hunter2"), token=Secret("ya29"))

    assert credentials.candidates == STRENGTH[1:]


def test_the_allow_list_narrows_the_candidates_whatever_its_order_and_case() -> None:
    credentials = Credentials(
        username="me", password=Secret("hunter2"), allowed=("plain", "Scram-Sha-256", "XOAUTH2")
    )

    assert credentials.allowed == ("PLAIN", "SCRAM-SHA-256", "XOAUTH2")
    assert credentials.candidates == ("SCRAM-SHA-256", "PLAIN")


def test_external_comes_first_where_it_is_allowed_by_name_and_there_is_no_password() -> None:
    assert Credentials(allowed=("EXTERNAL",)).candidates == ("EXTERNAL",)
    assert Credentials(username="me", allowed=("external",)).candidates == ("EXTERNAL",)
    both = Credentials(username="me", token=Secret("ya29"), allowed=("XOAUTH2", "EXTERNAL"))
    assert both.candidates == ("EXTERNAL", "XOAUTH2")
    password = Credentials(username="me", password=Secret("hunter2"), allowed=("PLAIN", "EXTERNAL"))
    assert password.candidates == ("PLAIN",)


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"username": "me"}, "neither password nor token"),
        ({}, "neither password nor token"),
        ({"username": "me", "password": Secret("x"), "allowed": ("XOAUTH2",)}, "password is of no"),
        ({"username": "me", "token": Secret("x"), "allowed": ("PLAIN",)}, "token is of no use"),
        ({"username": "me", "allowed": ("PLAIN", "LOGIN")}, "name is of no use to PLAIN, LOGIN"),
        ({"username": "me", "password": Secret("x"), "allowed": ("NTLM",)}, "not one of .*'NTLM'"),
        ({"username": "me", "password": Secret("x"), "allowed": ()}, "allowed: empty"),
        ({"username": "", "password": Secret("x")}, "username: empty"),
        ({"username": "a\0b", "password": Secret("x")}, "username: .*control"),
        ({"username": "a\ud800b", "password": Secret("x")}, "username: .*surrogate"),
        ({"username": "me", "password": Secret("")}, "password: empty"),
        ({"username": "me", "password": Secret("x\n")}, "password: .*file"),
        ({"username": "me", "token": Secret("Bearer x")}, "token: .*Bearer"),
        ({"username": "", "token": Secret("x"), "allowed": ("EXTERNAL", "XOAUTH2")}, "username"),
        ({"username": "a\0", "allowed": ("EXTERNAL",)}, "username: .*control"),
    ],
)
def test_credentials_that_can_not_serve_are_refused(fields: dict[str, object], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        Credentials(**fields)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"username": None, "password": Secret("x")}, "username: needs a str, not NoneType"),
        ({"username": "me", "password": 3}, "password: needs a Secret, not int"),
        ({"username": "me", "token": 3}, "token: needs a Secret or callable, not int"),
        ({"username": "me", "password": Secret("x"), "allowed": "PLAIN"}, "allowed: needs several"),
        ({"username": "me", "password": Secret("x"), "allowed": 3}, "allowed: needs several"),
        ({"username": "me", "password": Secret("x"), "allowed": [3]}, "names .*, not int"),
    ],
)
def test_credentials_of_a_wrong_type_are_refused(fields: dict[str, object], why: str) -> None:
    with pytest.raises(TypeError, match=why):
        Credentials(**fields)  # type: ignore[arg-type]


def test_a_password_or_token_given_as_text_is_made_a_secret_at_once() -> None:
    credentials = Credentials(username="me", password="hunter2", token="ya29")  # type: ignore[arg-type]

    assert credentials.password == Secret("hunter2")
    assert credentials.token == Secret("ya29")


def test_nothing_that_prints_credentials_shows_a_secret() -> None:
    credentials = Credentials(
        username="me", password=Secret("hunter2"), token=functools.partial(fetch, "ya29")
    )

    assert repr(credentials) == "Credentials(username='me', password=***, allowed=None)"
    assert "hunter2" not in str(dataclasses.asdict(credentials))
    assert copy.deepcopy(credentials).password is credentials.password


def test_the_token_is_not_fetched_before_it_is_needed() -> None:
    def never() -> str:
        pytest.fail("called")

    assert Credentials(username="me", token=never).token is never


def test_the_strongest_mechanism_that_both_know_is_the_first() -> None:
    offered = ["LOGIN", "plain", "NTLM", "Scram-Sha-1", "SCRAM-SHA-256", "SCRAM-SHA-256-PLUS"]

    assert choose(offered, ("PLAIN", "LOGIN", "SCRAM-SHA-256", "SCRAM-SHA-1")) == [
        "SCRAM-SHA-256",
        "SCRAM-SHA-1",
        "PLAIN",
        "LOGIN",
    ]


def test_all_mechanisms_have_their_place() -> None:
    assert choose(frozenset(STRENGTH), sorted(STRENGTH)) == [
        "EXTERNAL",
        *SCRAM,
        "OAUTHBEARER",
        "XOAUTH2",
        "CRAM-MD5",
        "PLAIN",
        "LOGIN",
    ]


def test_where_nothing_is_common_there_is_nothing_to_choose() -> None:
    assert choose(frozenset({"NTLM", "GSSAPI"}), ("PLAIN",)) == []
    assert choose(frozenset({"NTLM"}), ("NTLM",)) == []  # what is not known here is not spoken
    assert choose(frozenset(), STRENGTH) == []
