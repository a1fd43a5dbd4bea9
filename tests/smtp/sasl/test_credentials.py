"""Who may say so, and how."""

import copy
import dataclasses
import functools

import pytest

from pykka_smtp.smtp.sasl.mechanisms import Credentials
from pykka_smtp.smtp.sasl.secret import Secret

SCRAM = ("SCRAM-SHA-256-PLUS", "SCRAM-SHA-256", "SCRAM-SHA-1-PLUS", "SCRAM-SHA-1")


def fetch(token: str) -> str:
    return token


def test_a_password_serves_all_mechanisms_that_take_one() -> None:
    credentials = Credentials(username="me", password=Secret("hunter2"))

    assert credentials.candidates == (*SCRAM, "CRAM-MD5", "PLAIN", "LOGIN")


@pytest.mark.parametrize("token", [Secret("ya29"), functools.partial(fetch, "ya29")])
def test_a_token_serves_the_mechanisms_that_take_one(token: Secret) -> None:
    assert Credentials(username="me", token=token).candidates == ("OAUTHBEARER", "XOAUTH2")


def test_the_allow_list_narrows_the_candidates_whatever_its_order_and_case() -> None:
    credentials = Credentials(
        username="me", password=Secret("hunter2"), auth=("plain", "Scram-Sha-256", "XOAUTH2")
    )

    assert credentials.auth == ("PLAIN", "SCRAM-SHA-256", "XOAUTH2")
    assert credentials.candidates == ("SCRAM-SHA-256", "PLAIN")


def test_external_comes_first_where_it_is_allowed_by_name_and_there_is_no_password() -> None:
    assert Credentials(auth=("EXTERNAL",)).candidates == ("EXTERNAL",)
    assert Credentials(username="me", auth=("external",)).candidates == ("EXTERNAL",)
    both = Credentials(username="me", token=Secret("ya29"), auth=("XOAUTH2", "EXTERNAL"))
    assert both.candidates == ("EXTERNAL", "XOAUTH2")
    password = Credentials(username="me", password=Secret("hunter2"), auth=("PLAIN", "EXTERNAL"))
    assert password.candidates == ("PLAIN",)


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"username": "me"}, "neither password nor token"),
        ({}, "neither password nor token"),
        ({"username": "me", "password": Secret("x"), "token": Secret("y")}, "give one of them"),
        ({"username": "me", "password": Secret("x"), "auth": ("XOAUTH2",)}, "password is of no"),
        ({"username": "me", "token": Secret("x"), "auth": ("PLAIN",)}, "token is of no use"),
        ({"username": "me", "auth": ("PLAIN", "LOGIN")}, "neither .* for PLAIN, LOGIN"),
        ({"username": "me", "password": Secret("x"), "auth": ("NTLM",)}, "not one of .*'NTLM'"),
        ({"username": "me", "password": Secret("x"), "auth": ()}, "auth: empty"),
        ({"username": "", "password": Secret("x")}, "username: empty"),
        ({"username": "a\0b", "password": Secret("x")}, "username: .*control"),
        ({"username": "a\ud800b", "password": Secret("x")}, "username: .*surrogate"),
        ({"username": "me", "password": Secret("")}, "password: empty"),
        ({"username": "me", "password": Secret("x\n")}, "password: .*file"),
        ({"username": "me", "token": Secret("Bearer x")}, "token: .*Bearer"),
        ({"username": "", "token": Secret("x"), "auth": ("EXTERNAL", "XOAUTH2")}, "username"),
        ({"username": "a\0", "auth": ("EXTERNAL",)}, "username: .*control"),
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
        ({"username": "me", "password": Secret("x"), "auth": 3}, "auth: needs names"),
        ({"username": "me", "password": Secret("x"), "auth": [3]}, "names .*, not int"),
    ],
)
def test_credentials_of_a_wrong_type_are_refused(fields: dict[str, object], why: str) -> None:
    with pytest.raises(TypeError, match=why):
        Credentials(**fields)  # type: ignore[arg-type]


def test_a_password_or_token_given_as_text_is_made_a_secret_at_once() -> None:
    assert Credentials(username="me", password="hunter2").password == Secret("hunter2")  # type: ignore[arg-type]
    assert Credentials(username="me", token="ya29").token == Secret("ya29")  # type: ignore[arg-type]


def test_one_name_of_a_mechanism_need_not_be_in_a_list() -> None:
    credentials = Credentials(username="me", password=Secret("hunter2"), auth="plain")  # type: ignore[arg-type]

    assert credentials.candidates == ("PLAIN",)


def test_nothing_that_prints_credentials_shows_a_secret() -> None:
    credentials = Credentials(username="me", password=Secret("hunter2"))
    fetched = Credentials(username="me", token=functools.partial(fetch, "ya29"))

    assert repr(credentials) == "Credentials(username='me', password=***, auth=None)"
    assert repr(fetched) == "Credentials(username='me', password=None, auth=None)"
    assert "hunter2" not in str(dataclasses.asdict(credentials))
    assert copy.deepcopy(credentials).password is credentials.password


def test_the_token_is_not_fetched_before_it_is_needed() -> None:
    def never() -> str:
        pytest.fail("called")

    assert Credentials(username="me", token=never).token is never
