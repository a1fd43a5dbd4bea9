"""From a caller's credentials to mechanisms: which, in which order, and what is refused at once."""

import hmac
import importlib.util
import traceback
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from servers.accounts import PASSWORD, TOKEN, USER
from servers.submission import MECHANISMS, AuthServer

from pykka_smtp.actors.options import scram as scram_module
from pykka_smtp.actors.options.credentials import Token, authentication
from pykka_smtp.smtp.sasl.secret import Secret
from pykka_smtp.smtp.session.opening.authentication import Authentication
from pykka_smtp.smtp.session.refusal import ProtocolViolation, Refused, SecurityTooWeak, Unsendable
from pykka_smtp.smtp.session.step import RunCallable, Script
from pykka_smtp.smtp.words.command import CANCEL_AUTH, Command
from pykka_smtp.smtp.words.extensions import Extensions
from pykka_smtp.smtp.words.reply import Reply

needs_scramp = pytest.mark.skipif(
    importlib.util.find_spec("scramp") is None, reason="scramp is an extra"
)
SCRAM = ("SCRAM-SHA-256-PLUS", "SCRAM-SHA-256", "SCRAM-SHA-1-PLUS", "SCRAM-SHA-1")
BINDING = bytes(range(32))


def make(
    *,
    username: str | None = USER,
    password: str | None = None,
    token: Token | None = None,
    auth: Sequence[str] | None = None,
    allow_unsafe: bool = False,
) -> Authentication:
    made = authentication(
        username,
        None if password is None else Secret(password),
        token,
        auth,
        host="mx.test",
        port=587,
        allow_unsafe=allow_unsafe,
    )
    assert made is not None
    return made[0]


def credentials_for(name: str) -> dict[str, Any]:
    if name == "EXTERNAL":
        return {"auth": ["EXTERNAL"]}
    if name in ("XOAUTH2", "OAUTHBEARER"):
        return {"token": TOKEN, "auth": [name]}
    return {"password": PASSWORD, "auth": [name]}


def lead(chosen: Authentication, server: AuthServer, *offered: str, is_safe: bool = True) -> None:
    """Lead the exchange against a server that checks."""
    play(begin(chosen, *offered, is_safe=is_safe), server.hear)


def begin(chosen: Authentication, *offered: str, is_safe: bool = True) -> Script:
    extensions = Extensions({"AUTH": " ".join(offered)})
    return chosen.script("mx.test:587", extensions, is_safe=is_safe, binding=BINDING)


def play(script: Script, hear: Callable[[str], str]) -> None:
    step = next(script)
    while True:
        try:
            if isinstance(step, RunCallable):
                step.result = step.function()
                step = next(script)
            else:
                assert isinstance(step, Command)
                line = hear(step.line)
                step = script.send(Reply(int(line[:3]), (line[4:],)))
        except StopIteration:
            return


# Against a server that checks.


@needs_scramp
@pytest.mark.parametrize("name", MECHANISMS)
def test_a_server_that_checks_is_convinced(name: str) -> None:
    server = AuthServer(subject=USER, binding=BINDING if name.endswith("-PLUS") else None)

    lead(make(**credentials_for(name)), server, name)

    assert server.who == USER
    assert server.asked == [name]


@needs_scramp
@pytest.mark.parametrize("name", [name for name in MECHANISMS if name != "EXTERNAL"])
def test_a_server_that_checks_is_not_convinced_by_what_is_wrong(name: str) -> None:
    server = AuthServer(
        users={USER: "another"}, tokens={}, binding=BINDING if name.endswith("-PLUS") else None
    )

    with pytest.raises(Refused) as caught:
        lead(make(**credentials_for(name)), server, name)

    assert caught.value.reply.code == 535
    assert server.asked == [name]


@needs_scramp
def test_scram_that_is_bound_to_another_connection_does_not_convince() -> None:
    server = AuthServer(binding=b"another certificate's hash")

    with pytest.raises(Refused):
        lead(make(password=PASSWORD), server, "SCRAM-SHA-256-PLUS", "SCRAM-SHA-256", "PLAIN")

    assert server.asked == ["SCRAM-SHA-256-PLUS"]  # and not the same without


@needs_scramp
def test_a_server_notices_that_an_attacker_removed_channel_binding() -> None:
    server = AuthServer(binding=BINDING)  # RFC 5802 §6: the client says that it could have, too

    with pytest.raises(Refused):
        lead(make(password=PASSWORD), server, "SCRAM-SHA-256")


@needs_scramp
def test_a_password_is_used_by_the_strongest_mechanism_that_is_offered() -> None:
    offered = ["PLAIN", "LOGIN", "CRAM-MD5", *reversed(SCRAM)]
    order: list[str] = []
    while offered:
        server = AuthServer(binding=BINDING)
        if not any(name.endswith("-PLUS") for name in offered):
            server = AuthServer()
        lead(make(password=PASSWORD), server, *offered)
        order += server.asked
        offered.remove(server.asked[0])

    assert order == [*SCRAM, "CRAM-MD5", "PLAIN", "LOGIN"]


@needs_scramp
@pytest.mark.parametrize("name", [name for name in SCRAM if not name.endswith("-PLUS")])
def test_a_wrong_server_signature_is_a_security_failure(name: str) -> None:
    server = AuthServer()

    def hear(line: str) -> str:
        said = server.hear(line)
        final = len(server.lines) == 2
        return "334 dj1BQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUE9" if final else said

    with pytest.raises(SecurityTooWeak, match="did not prove that it knows the password") as caught:
        play(begin(make(password=PASSWORD), name), hear)

    assert caught.value.last_command is CANCEL_AUTH
    assert server.who is None


@needs_scramp
@pytest.mark.parametrize("after", [1, 2])
def test_success_before_the_servers_proof_does_not_count(after: int) -> None:
    server = AuthServer()

    def hear(line: str) -> str:
        said = server.hear(line)
        return "235 welcome" if len(server.lines) == after else said

    with pytest.raises(SecurityTooWeak, match="without proving that it knows the password"):
        play(begin(make(password=PASSWORD), "SCRAM-SHA-256"), hear)


@needs_scramp
@pytest.mark.parametrize("name", MECHANISMS)
def test_no_server_asks_for_ever(name: str) -> None:
    rounds: list[str] = []

    def hear(line: str) -> str:
        rounds.append(line)
        return "334 bW9yZQ=="

    with pytest.raises((ProtocolViolation, SecurityTooWeak)) as caught:
        play(begin(make(**credentials_for(name)), name), hear)

    assert len(rounds) <= 10
    assert isinstance(caught.value, ProtocolViolation)
    assert caught.value.last_command is CANCEL_AUTH


@needs_scramp
def test_what_keeps_the_password_is_used_without_tls_and_nothing_else() -> None:
    server = AuthServer()
    with pytest.raises(SecurityTooWeak):
        lead(make(password=PASSWORD), server, "PLAIN", "LOGIN", is_safe=False)
    assert server.lines == []

    lead(make(password=PASSWORD), server, "PLAIN", "LOGIN", "SCRAM-SHA-1", is_safe=False)
    assert server.asked == ["SCRAM-SHA-1"]


# Tokens.


def test_a_fixed_token_is_shown_once() -> None:
    server = AuthServer(tokens={})

    with pytest.raises(Refused):
        lead(make(token="stale"), server, "XOAUTH2", "OAUTHBEARER")

    assert server.asked == ["OAUTHBEARER"]


def test_a_callable_is_called_once_more_after_a_refusal() -> None:
    calls = iter(["stale", TOKEN, "never"])
    server = AuthServer()

    lead(make(token=lambda: next(calls)), server, "XOAUTH2")

    assert server.asked == ["XOAUTH2", "XOAUTH2"]
    assert next(calls) == "never"


def test_a_callable_is_not_called_before_it_is_its_turn() -> None:
    chosen = make(token=lambda: pytest.fail("called"))

    with pytest.raises(SecurityTooWeak):
        lead(chosen, AuthServer(), "PLAIN")


@pytest.mark.parametrize("returned", [None, "", "Bearer x", "two words", "x\r\n", "ü"])
def test_what_a_callable_returns_is_checked(returned: str | None) -> None:
    chosen = make(token=lambda: returned)  # type: ignore[arg-type]

    with pytest.raises(Unsendable, match="no token that can be sent: token"):
        lead(chosen, AuthServer(), "XOAUTH2")


def test_a_callable_that_returns_no_text_raises_without_showing_it() -> None:
    fetch = make(token=lambda: b"Zx9-correct-horse").token  # type: ignore[arg-type]
    assert fetch is not None

    with pytest.raises(TypeError, match="a token needs to be a str, not bytes") as caught:
        fetch()

    told = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    assert "Zx9" not in "".join(str(frame.locals) for frame in told.stack[1:])


def test_a_callable_may_return_a_secret() -> None:
    server = AuthServer()

    lead(make(token=lambda: Secret(TOKEN)), server, "XOAUTH2")  # type: ignore[arg-type]

    assert server.who == USER


# What is refused in the caller, and what is left out.


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"username": USER}, "neither password nor token"),
        ({"username": None, "password": "x"}, "username: empty"),
        ({"username": "", "password": "x"}, "username: empty"),
        ({"username": None, "token": "x"}, "username: empty"),
        ({"password": ""}, "password: empty"),
        ({"password": "x", "token": "y"}, "give one of them"),
        ({"password": "x", "auth": ["NTLM"]}, "auth: not one of .*'NTLM'"),
        ({"password": "x", "auth": []}, "auth: empty"),
        ({"password": "x", "auth": ["XOAUTH2"]}, "a password is of no use to XOAUTH2"),
        ({"token": "x", "auth": ["PLAIN", "LOGIN"]}, "a token is of no use to PLAIN, LOGIN"),
        ({"username": None, "auth": ["PLAIN"]}, "neither password nor token for PLAIN"),
        ({"token": "Bearer x"}, "leave out the word"),
        ({"token": ""}, "token: empty"),
        ({"token": "x" * 8193}, "longer than 8192 octets"),
        ({"username": "u" * 2000, "token": "x" * 8000}, "all together is longer than 9216 octets"),
        ({"username": "me\r\nMAIL", "password": "x"}, "username: a control character"),
        ({"username": "me", "password": "a\0b"}, "password: a control character"),
        ({"password": "\u0627b", "auth": ["PLAIN"]}, "password: .*SASLprep"),
        ({"password": "\U0001f511", "auth": ["SCRAM-SHA-256"]}, "password: .*SASLprep"),
        ({"username": "\U0001f511", "password": "x", "auth": list(SCRAM)}, "username: .*SASLprep"),
    ],
)
def test_what_can_not_serve_is_a_value_error(given: dict[str, Any], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        make(**given)


@pytest.mark.parametrize(
    "given", [{"username": 3, "password": "x"}, {"password": "x", "auth": 3}, {"token": 3}]
)
def test_what_has_the_wrong_type_is_a_type_error(given: dict[str, Any]) -> None:
    with pytest.raises(TypeError):
        make(**given)


def test_without_any_of_it_there_is_nothing_to_authenticate_with() -> None:
    nothing = authentication(None, None, None, None, host="h", port=25, allow_unsafe=False)

    assert nothing is None


@pytest.mark.parametrize("username", [None, "", USER])
def test_a_certificate_needs_no_user_name(username: str | None) -> None:
    server = AuthServer(subject=USER)

    lead(make(username=username, auth="EXTERNAL"), server, "EXTERNAL", "PLAIN")

    assert server.who == USER


@needs_scramp
def test_a_password_that_scram_does_not_take_is_used_by_others() -> None:
    word = "\U0001f511 to the door"
    server = AuthServer(users={USER: word})

    lead(make(password=word), server, "SCRAM-SHA-256", "PLAIN", "CRAM-MD5")

    assert server.asked == ["CRAM-MD5"]


def test_a_password_that_plain_does_not_take_is_used_by_login() -> None:
    word = "\u0627b"
    server = AuthServer(users={USER: word})

    lead(make(password=word), server, "PLAIN", "LOGIN")

    assert server.asked == ["LOGIN"]


def test_without_the_library_the_other_mechanisms_serve(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> Any:
        raise ImportError("SCRAM needs the scramp library: pip install 'pykka-smtp[scram]'")

    monkeypatch.setattr(scram_module, "library", missing)

    assert list(make(password=PASSWORD).mechanisms) == ["CRAM-MD5", "PLAIN", "LOGIN"]
    with pytest.raises(ValueError, match="pip install"):
        make(password=PASSWORD, auth=["SCRAM-SHA-256"])


def test_without_md5_the_other_mechanisms_serve(monkeypatch: pytest.MonkeyPatch) -> None:
    digest = hmac.digest

    def fips(key: bytes, message: bytes, name: str) -> bytes:
        if name == "md5":
            raise ValueError("disabled for FIPS")
        return digest(key, message, name)

    monkeypatch.setattr(hmac, "digest", fips)

    assert "CRAM-MD5" not in make(password=PASSWORD).mechanisms
    with pytest.raises(ValueError, match="CRAM-MD5: this Python has no MD5"):
        make(password=PASSWORD, auth=["CRAM-MD5"])


# What is shown.


def test_the_secrets_that_are_known_are_masked() -> None:
    for given in ({"password": "hunter2-x"}, {"token": "hunter2-x"}):
        made = authentication(
            USER,
            Secret(given["password"]) if "password" in given else None,
            given.get("token"),
            None,
            host="mx.test",
            port=587,
            allow_unsafe=False,
        )
        assert made is not None
        chosen, mask = made
        assert mask("you said hunter2-x") == "you said ***"
        assert "hunter2" not in repr((chosen, mask, dict(chosen.mechanisms)))


def test_with_a_callable_nothing_is_masked_yet() -> None:
    made = authentication(USER, None, lambda: TOKEN, None, host="h", port=25, allow_unsafe=False)

    assert made is not None
    assert made[1](f"anything {TOKEN}") == f"anything {TOKEN}"


@pytest.mark.parametrize(
    "given", [{"password": "Zx9-correct\r\n"}, {"token": "Zx9 correct"}, {"password": "Zx9\u0627b"}]
)
def test_an_error_shows_no_secret_in_its_frames(given: dict[str, str]) -> None:
    secret = given.pop("password", None)
    password = None if secret is None else Secret(secret)
    token = Secret(given.pop("token", "")) if password is None else None
    del secret

    with pytest.raises(ValueError) as caught:
        authentication(USER, password, token, ["PLAIN"] if password else None,
                       host="h", port=25, allow_unsafe=False)  # fmt: skip

    told = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    assert "Zx9" not in "".join(told.format())
