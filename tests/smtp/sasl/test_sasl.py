"""What each mechanism says, and when it says no more."""

import base64
import hashlib
import hmac
from collections.abc import Callable

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from servers.one_mail import all_that_is_told

from pykka_smtp.smtp.sasl.mechanisms import (
    MAX_CHALLENGE,
    MAX_RESPONSE,
    CramMd5,
    External,
    Login,
    Mechanism,
    Oauthbearer,
    Plain,
    SaslError,
    Xoauth2,
)
from pykka_smtp.smtp.sasl.secret import Secret

HELD = "Zx9-correct-horse"  # in no name and no text but this one
TOKEN = Secret("vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==")

MECHANISMS: dict[str, Callable[[], Mechanism]] = {
    "PLAIN": lambda: Plain("me", Secret(HELD)),
    "LOGIN": lambda: Login("me", Secret(HELD)),
    "CRAM-MD5": lambda: CramMd5("me", Secret(HELD)),
    "XOAUTH2": lambda: Xoauth2("me", Secret(HELD)),
    "OAUTHBEARER": lambda: Oauthbearer("me", Secret(HELD), "mx.test", 587),
    "EXTERNAL": lambda: External("me"),
}
each_mechanism = pytest.mark.parametrize("name", MECHANISMS)


@each_mechanism
def test_a_mechanism_is_known_by_the_name_that_servers_offer(name: str) -> None:
    assert MECHANISMS[name]().name == name


@each_mechanism
def test_a_mechanism_says_whether_the_server_learns_the_secret(name: str) -> None:
    mechanism = MECHANISMS[name]()
    said = mechanism.start() or b""
    if name in ("LOGIN", "CRAM-MD5"):
        said += mechanism.respond(b"one")
    if name == "LOGIN":
        said += mechanism.respond(b"two")

    assert (HELD.encode() in said) == mechanism.shows_secret


def test_plain_says_all_in_one_message() -> None:  # RFC 4616 §4
    plain = Plain("tim", Secret("tanstaaftanstaaf"))

    assert plain.start() == b"\0tim\0tanstaaftanstaaf"
    assert plain.start() == b"\0tim\0tanstaaftanstaaf"
    plain.finish()


def test_plain_can_act_for_another() -> None:  # RFC 4616 §4
    assert Plain("Kurt", Secret("xipj3plmq"), "Ursel").start() == b"Ursel\0Kurt\0xipj3plmq"


def test_plain_sends_the_octets_that_it_was_given() -> None:
    assert Plain("mé", Secret("ﬁ\xa0ª😀")).start() == "\0mé\0ﬁ\xa0ª😀".encode()


@pytest.mark.parametrize(
    ("user", "password", "authzid", "why"),
    [
        ("a\0b", "x", "", "username: .*control"),
        ("me", "a\0b", "", "password: .*control"),
        ("me", "x", "a\0b", "authzid: .*control"),
        ("me", "x\r\n", "", "password: .*file"),
        ("", "x", "", "username: empty"),
        ("me", "", "", "password: empty"),
        ("me\ud800", "x", "", "username: .*surrogate"),
        ("me", "\ud800", "", "password: .*surrogate"),
        ("me", "\u06271", "", "password: .*SASLprep"),
        ("\ufffd", "x", "", "username: .*SASLprep"),
        ("u" * 4700, "x" * 4700, "", "PLAIN: .*longer than 9216"),
    ],
)
def test_plain_refuses_what_it_can_not_say(
    user: str, password: str, authzid: str, why: str
) -> None:
    with pytest.raises(ValueError, match=why):
        Plain(user, Secret(password), authzid)


@pytest.mark.parametrize("prompts", [(b"Username:", b"Password:"), (b"", b""), (b"\xff", b"User")])
def test_login_answers_any_two_prompts(prompts: tuple[bytes, bytes]) -> None:
    login = Login("mé", Secret("pässwort"))

    assert login.start() is None
    assert [login.respond(prompt) for prompt in prompts] == ["mé".encode(), "pässwort".encode()]
    login.finish()


def test_login_does_not_answer_a_third_prompt() -> None:
    login = Login("me", Secret(HELD))
    login.respond(b"Username:")
    login.respond(b"Password:")

    with pytest.raises(SaslError, match="LOGIN: unexpected challenge"):
        login.respond(b"Password:")


def test_cram_md5_keys_the_challenge_with_the_password() -> None:  # RFC 2195 §2
    cram = CramMd5("tim", Secret("tanstaaftanstaaf"))

    assert cram.start() is None
    assert cram.respond(b"<1896.697170952@postoffice.reston.mci.net>") == (
        b"tim b913a602c7eda7a495b4e6e7334d3890"
    )
    cram.finish()


@pytest.mark.parametrize("password", ["x", "ä" * 100])
def test_cram_md5_takes_passwords_of_any_length(password: str) -> None:
    digest = hmac.new(password.encode(), b"<1@mx.test>", hashlib.md5).hexdigest()

    assert CramMd5("a b", Secret(password)).respond(b"<1@mx.test>") == f"a b {digest}".encode()


def test_cram_md5_answers_one_challenge_that_is_not_empty() -> None:
    cram = CramMd5("me", Secret(HELD))
    cram.respond(b"<1@mx.test>")

    with pytest.raises(SaslError, match="CRAM-MD5: unexpected challenge"):
        cram.respond(b"<2@mx.test>")
    with pytest.raises(SaslError, match="CRAM-MD5: empty challenge"):
        CramMd5("me", Secret(HELD)).respond(b"")


def test_cram_md5_says_so_where_there_is_no_md5(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object) -> bytes:
        raise ValueError("unsupported hash type")

    monkeypatch.setattr(hmac, "digest", refuse)

    with pytest.raises(ValueError, match="this Python has no MD5") as caught:
        CramMd5("me", Secret(HELD))
    assert HELD not in all_that_is_told(caught.value, __file__)


def test_xoauth2_shows_its_token_as_google_describes_it() -> None:
    token = Secret("ya29.vF9dft4qmTc2Nvb3RlckBhdHRhdmlzdGEuY29tCg")
    initial = Xoauth2("someuser@example.com", token).start()

    assert base64.b64encode(initial) == (
        b"dXNlcj1zb21ldXNlckBleGFtcGxlLmNvbQFhdXRoPUJlYXJlciB5YTI5LnZGOWRmdDRx"
        b"bVRjMk52YjNSbGNrQmhkSFJoZG1semRHRXVZMjl0Q2cBAQ=="
    )


def test_oauthbearer_shows_its_token_as_in_the_rfc() -> None:  # RFC 7628 §4.1
    initial = Oauthbearer("user@example.com", TOKEN, "server.example.com", 143).start()

    assert base64.b64encode(initial) == (
        b"bixhPXVzZXJAZXhhbXBsZS5jb20sAWhvc3Q9c2VydmVyLmV4YW1wbGUuY29tAXBvcnQ9"
        b"MTQzAWF1dGg9QmVhcmVyIHZGOWRmdDRxbVRjMk52YjNSbGNrQmhiSFJoZG1semRHRXVZ"
        b"Mjl0Q2c9PQEB"
    )


def test_oauthbearer_escapes_the_user_name() -> None:  # RFC 5801 §4
    initial = Oauthbearer("a=b,c=2C", TOKEN, "mx.test", 587).start()

    assert initial.startswith(b"n,a=a=3Db=2Cc=3D2C,\x01host=mx.test\x01port=587\x01auth=Bearer ")


@pytest.mark.parametrize(("name", "farewell"), [("XOAUTH2", b""), ("OAUTHBEARER", b"\x01")])
def test_the_error_of_a_token_is_acknowledged_once(name: str, farewell: bytes) -> None:
    mechanism = MECHANISMS[name]()

    assert mechanism.respond(b'{"status":"401"}') == farewell
    with pytest.raises(SaslError, match=f"{name}: unexpected challenge"):
        mechanism.respond(b'{"status":"401"}')
    mechanism.finish()


@pytest.mark.parametrize(
    ("challenge", "status"),
    [
        (b'{"status":"401","schemes":"bearer","scope":"https://mail.google.com/"}', "401"),
        (b'{"status":"invalid_token","scope":"example_scope"}', "invalid_token"),  # RFC 7628 §4.3
        (b'{\r\n "scope": "x",\r\n "status" : "insufficient_scope" }', "insufficient_scope"),
        (b'{"status":"' + HELD.encode() + b'"}', None),
        (b'{"status":"4012"}', None),
        (b"{" * 12000, None),
        (b"", None),
        (b"\xff", None),
    ],
)
@pytest.mark.parametrize("kind", [Xoauth2, lambda u, t: Oauthbearer(u, t, "mx.test", 587)])
def test_what_is_wrong_with_a_token_is_known_if_the_server_says_it_in_known_words(
    challenge: bytes, status: str | None, kind: Callable[[str, Secret], Xoauth2 | Oauthbearer]
) -> None:
    mechanism = kind("me", TOKEN)
    assert mechanism.error_status is None

    mechanism.respond(challenge)

    assert mechanism.error_status == status


def test_external_sends_the_authzid_or_nothing() -> None:
    assert External().start() == b""
    assert External("mé").start() == "mé".encode()
    External().finish()
    with pytest.raises(ValueError, match=r"authzid: .*control"):
        External("a\0b")


@pytest.mark.parametrize("name", ["PLAIN", "EXTERNAL"])
def test_who_has_said_all_answers_nothing(name: str) -> None:
    with pytest.raises(SaslError, match=f"{name}: unexpected challenge") as caught:
        MECHANISMS[name]().respond(b"")
    assert not caught.value.is_security


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda: Xoauth2("a\x01b", TOKEN), "username: .*control"),
        (lambda: Xoauth2("me", Secret("a b")), "token: .*ASCII"),
        (lambda: Xoauth2("u" * 3000, Secret("x" * 7000)), "XOAUTH2: .*longer than 9216"),
        (lambda: Oauthbearer("", TOKEN, "mx.test", 587), "username: empty"),
        (lambda: Oauthbearer("me", Secret("tök"), "mx.test", 587), "token: .*ASCII"),
        (lambda: Oauthbearer("me", TOKEN, "a\x01b", 587), "host: .*control"),
        (lambda: Oauthbearer("me", TOKEN, "", 587), "host: empty"),
        (lambda: Oauthbearer("=" * 3000, Secret("x" * 999), "mx.test", 587), "longer than 9216"),
    ],
)
def test_a_token_that_can_not_be_shown_is_refused(make: Callable[[], object], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        make()


@pytest.mark.parametrize("kind", [Login, CramMd5])
@pytest.mark.parametrize(("user", "password"), [("\0", "x"), ("", "x"), ("me", ""), ("me", "\n")])
def test_all_mechanisms_with_a_password_check_it(
    kind: type[Login] | type[CramMd5], user: str, password: str
) -> None:
    with pytest.raises(ValueError, match=r"^(username|password): "):
        kind(user, Secret(password))


@each_mechanism
def test_the_longest_challenge_is_bounded(name: str) -> None:
    with pytest.raises(SaslError, match=f"{name}: challenge over 12288 octets"):
        MECHANISMS[name]().respond(b"x" * (MAX_CHALLENGE + 1))


@pytest.mark.parametrize("name", ["LOGIN", "CRAM-MD5", "XOAUTH2", "OAUTHBEARER"])
def test_the_longest_challenge_is_answered(name: str) -> None:
    assert len(MECHANISMS[name]().respond(b"x" * MAX_CHALLENGE)) < 100


def test_a_response_of_the_longest_fits_what_a_server_must_take() -> None:
    longest = Plain("u" * 1022, Secret("x" * 8192))

    assert len(longest.start()) == MAX_RESPONSE
    assert len(base64.b64encode(longest.start())) == 12288  # RFC 4954 §4
    with pytest.raises(ValueError, match="longer than"):
        Plain("u" * 1023, Secret("x" * 8192))


def responses(
    mechanism: Mechanism, challenges: list[bytes]
) -> tuple[list[bytes], SaslError | None]:
    """Converse until the mechanism has had enough."""
    said: list[bytes] = []
    for challenge in challenges:
        try:
            said.append(mechanism.respond(challenge))
        except SaslError as error:
            return said, error
    return said, None


@given(st.sampled_from(sorted(MECHANISMS)), st.lists(st.binary(), max_size=12))
@example("LOGIN", [b"", b"", b""])
def test_any_challenges_give_responses_or_a_sasl_error_without_the_secret(
    name: str, challenges: list[bytes]
) -> None:
    mechanism = MECHANISMS[name]()
    said, error = responses(mechanism, challenges)
    mechanism.finish()

    assert HELD not in repr(mechanism)
    assert all(type(response) is bytes for response in said)
    assert len(said) <= 2
    assert error is not None or len(said) == len(challenges)
    assert error is None or (
        HELD not in all_that_is_told(error, __file__) and not error.is_security
    )


@pytest.mark.parametrize(
    "make",
    [
        lambda secret: Plain("me", secret),
        lambda secret: Login("me", secret),
        lambda secret: CramMd5("me", secret),
        lambda secret: Xoauth2("me", secret),
        lambda secret: Oauthbearer("me", secret, "mx.test", 587),
    ],
)
@pytest.mark.parametrize("flaw", ["\0", "\ud800", "\n", "x" * 8192])
def test_no_error_shows_a_secret_that_can_not_be_used(
    make: Callable[[Secret], object], flaw: str
) -> None:
    with pytest.raises(ValueError) as caught:
        make(Secret(HELD + flaw))

    assert HELD not in all_that_is_told(caught.value, __file__)
