"""Secrets stay on the wire: whatever a server repeats, and wherever somebody looks.

Each test sends a whole mail to a server that knows the secret and says it again, in every form
that it can think of; then all that a program, a log or an error report could show is searched.
"""

import base64
import importlib.util
import json
import logging
import pickle
import ssl
import threading
import traceback
import types
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, quote_plus

import pytest
from servers.accounts import USER
from servers.certificates import Certificates, Tls, server_context
from servers.scripted import Conn, ScriptedServer
from servers.submission import AuthServer
from servers.waiting import PATIENCE

from pykka_smtp import Outcome, SendFailure, SendMail, SendSuccess, SmtpActor, verify
from pykka_smtp.smtp.sasl.mechanisms import Plain, Xoauth2
from pykka_smtp.smtp.sasl.secret import Secret
from pykka_smtp.smtp.session.opening import authentication as authentication_module
from pykka_smtp.testing.moods import At, Moment, said
from pykka_smtp.testing.polite import Polite
from pykka_smtp.testing.talk.acts import LINE, Act, Talk
from pykka_smtp.testing.talk.script import decode

PASSWORD = 'Zx9 corr\u00e4ct "h\u00f6rse"%+/\\~Qv7'
TOKEN = "Zx9.corract-horse_staple~+/Qv7=="
MAIL = SendMail(sender="me@a.test", recipients=["you@b.test", "who@b.test"], body="Hello")


def forms(secret: str) -> dict[str, str]:
    """Give the forms in which a secret may show. Written anew: not those that are scrubbed."""
    octets, user = secret.encode(), USER.encode()
    plain = b"\0" + user + b"\0" + octets
    return {
        "as it is": secret,
        "in capitals": secret.upper(),
        "in small letters": secret.lower(),
        "base64": base64.b64encode(octets).decode(),
        "base64 without padding": base64.b64encode(octets).decode().rstrip("="),
        "base64 for URLs": base64.urlsafe_b64encode(octets).decode(),
        "base64 with a line end": base64.b64encode(octets + b"\r\n").decode(),
        "PLAIN": base64.b64encode(plain).decode(),
        "PLAIN for another": base64.b64encode(user + plain).decode(),
        "user and secret": base64.b64encode(user + b":" + octets).decode(),
        "XOAUTH2": base64.b64encode(
            b"user=" + user + b"\x01auth=Bearer " + octets + b"\x01\x01"
        ).decode(),
        "hexadecimal": octets.hex(),
        "hexadecimal in capitals": octets.hex().upper(),
        "hexadecimal with colons": octets.hex(":"),
        "percent-encoded": quote(secret, safe=""),
        "percent-encoded for forms": quote_plus(secret),
        "JSON": json.dumps(secret)[1:-1],
        "as Python writes it": repr(secret)[1:-1],
        "as Python writes it in ASCII": ascii(secret)[1:-1],
        "as octets": repr(octets)[2:-1],
        "in the middle of base64": base64.b64encode(b"x" + octets + b"yz").decode(),
        "at the end of base64": base64.b64encode(b"xy" + octets).decode(),
    }


def hits(shown: str, secret: str) -> list[str]:
    """Find the secret, or its two ends: nobody could make them of anything else."""
    found = [name for name, form in forms(secret).items() if form in shown]
    ends = [end for end in (secret[:6], secret[-5:]) if end in shown]
    return found + ends


def test_the_search_finds_what_it_is_to_find() -> None:
    for secret in (PASSWORD, TOKEN):
        for name, form in forms(secret).items():
            assert name in hits(f"... {form} ...", secret)
        assert hits(f"{secret[:7]}***", secret)
        assert not hits("*** nothing ***", secret)


# What can be looked at.


class Log(logging.Handler):
    """Keeps all that is logged, and the local variables of each frame of each error in it."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.texts += [record.getMessage(), repr(record.args), self.format(record)]
        if record.exc_info and record.exc_info[1]:
            self.texts.append(with_locals(record.exc_info[1]))


def with_locals(error: BaseException) -> str:
    """Write an error as a tool for error reports does; the frames of this file are its own."""
    told = traceback.TracebackException.from_exception(error, capture_locals=True)
    texts = ["".join(told.format_exception_only()), repr(error), str(vars(error))]
    seen: traceback.TracebackException | None = told
    while seen is not None:
        texts += [f"{frame.locals}" for frame in seen.stack if frame.filename != __file__]
        seen = seen.__cause__ or seen.__context__
    return "\n".join(texts)


def reprs(start: object) -> list[str]:
    """Write what `repr` shows of an object of ours, and of all such objects that it has."""
    seen: dict[int, object] = {}
    todo: list[object] = [start]
    while todo:
        thing = todo.pop()
        if id(thing) in seen or isinstance(thing, Secret | str | bytes):
            continue
        seen[id(thing)] = thing
        if isinstance(thing, dict):
            todo += thing.values()
        elif isinstance(thing, list | tuple | set | frozenset):
            todo += thing
        elif isinstance(thing, types.MethodType):
            todo.append(thing.__self__)
        elif type(thing).__module__.startswith("pykka_smtp"):
            slots = [
                name for kind in type(thing).__mro__ for name in getattr(kind, "__slots__", ())
            ]
            names = [*getattr(thing, "__dict__", ()), *slots]
            todo += [getattr(thing, name, None) for name in names]
    kinds = {type(thing).__name__ for thing in seen.values()}
    assert kinds >= {"SmtpActor", "Options", "Connection", "Dialog", "Session", "Authentication"}
    ours = [thing for thing in seen.values() if type(thing).__module__.startswith("pykka_smtp")]
    return [text for thing in ours for text in (repr(thing), str(thing))]


def shown_of(outcome: Outcome) -> list[str]:
    """Write all that an outcome shows."""
    texts = [repr(outcome), str(outcome), json.dumps(outcome.as_dict()), *outcome.transcript]
    texts += [*outcome.warnings, repr(outcome.reply), str(outcome.text), repr(outcome.recipients)]
    texts += [repr(vars_of(outcome)), pickle.dumps(outcome).decode("latin-1")]
    texts.append(pickle.dumps(outcome).decode("utf-8", "replace"))
    if isinstance(outcome, SendFailure):
        texts.append(outcome.detail)
        try:
            outcome.raise_for_failure()
        except Exception as error:
            texts += [with_locals(error), pickle.dumps(error).decode("latin-1")]
    return texts


def vars_of(outcome: Outcome) -> dict[str, Any]:
    return {name: getattr(outcome, name) for name in dir(outcome) if not name.startswith("__")}


# The server that repeats.


@dataclass
class Echo:
    """What a server says instead of what it should, by verb; ``*`` stands for each of a list."""

    secret: str
    replies: dict[str, list[bytes]] = field(default_factory=dict)

    def lines(self, code: str, *, end: str = "") -> list[bytes]:
        """All the forms of the secret, each in a line of its own, all in one reply."""
        texts = [f"{name}: <{form}>" for name, form in forms(self.secret).items()]
        lines = [f"{code}-{text}\r\n".encode() for text in texts]
        return [*lines, f"{code} {end}\r\n".encode()]

    def at(self, key: str) -> bytes | None:
        """Give what is said there, if it is to be said there."""
        return b"".join(self.replies[key]) if key in self.replies else None

    def __call__(self, moment: Moment) -> list[Act] | None:
        stage = moment.stage
        if stage == "RCPT":
            stage = decode(moment.line)
        elif stage == "EHLO" and moment.client.tls:
            stage = "EHLO under TLS"
        reply = None if stage == "AUTH" else self.at(stage)
        return None if reply is None else [reply]


def repeating(echo: Echo, auth: AuthServer, mechanism: str, look: Callable[[], object]) -> Polite:
    """Make a server that repeats; it looks at the client while that authenticates."""

    def authenticate(moment: Moment) -> Talk:
        line = moment.line
        while True:
            look()
            reply = said(auth.hear(decode(line)))
            yield echo.at("334" if auth.is_under_way else "AUTH") or reply
            if not auth.is_under_way:
                return
            line = yield LINE

    return Polite("STARTTLS", inside=[f"AUTH {mechanism}"], moods=[echo, At("AUTH", authenticate)])


Send = Callable[..., tuple[Outcome, list[str]]]


@pytest.fixture(params=["uvloop", "asyncio"])
def send(
    request: pytest.FixtureRequest,
    certificates: Certificates,
    scripted_server: Callable[..., ScriptedServer],
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Send]:
    """Send a mail to a server that repeats; give the outcome, and all that can be seen."""
    if importlib.util.find_spec(request.param) is None:
        pytest.skip(f"{request.param} is not installed")
    monkeypatch.setenv("PYKKA_SMTP_LOOP", request.param)
    log, root = Log(), logging.getLogger()
    level = root.level
    root.addHandler(log)
    root.setLevel(logging.DEBUG)

    def run(echo: Echo, mechanism: str = "PLAIN", **credentials: Any) -> tuple[Outcome, list[str]]:
        shown: list[str] = []
        actors: list[Any] = []

        def look() -> None:
            shown.extend(reprs(actors[0]))

        auth = AuthServer(users={USER: PASSWORD}, tokens={TOKEN: USER})
        server = scripted_server(
            repeating(echo, auth, mechanism, look),
            context=server_context(Tls(certificate=certificates.good)),
        )
        options: dict[str, Any] = {
            "username": USER,
            "tls": "starttls",
            "tls_context": certificates.trusting(),
        }
        if not credentials:
            credentials = {"password": PASSWORD}
        ref: Any = SmtpActor.start(
            server.host,
            server.port,
            debug=True,
            timeout=PATIENCE,
            local_hostname="c.test",
            auth=[mechanism],
            **options,
            **credentials,
        )
        actors.append(ref._actor_weakref())
        outcome = ref.ask(MAIL, timeout=PATIENCE)
        assert ref.actor_stopped.wait(PATIENCE)
        server.wait_until_ended()
        shown += [repr(ref), repr(actors[0]), *shown_of(outcome)]
        return outcome, shown + log.texts

    yield run
    root.removeHandler(log)
    root.setLevel(level)


def clean(shown: list[str], *secrets: str) -> None:
    """See that there is none of it."""
    text = "\n".join(shown)
    assert "EHLO c.test" in text  # something was looked at
    for secret in secrets or (PASSWORD, TOKEN):
        assert hits(text, secret) == []


MECHANISMS: dict[str, dict[str, Any]] = {
    "PLAIN": {"password": PASSWORD},
    "LOGIN": {"password": PASSWORD},
    "CRAM-MD5": {"password": PASSWORD},
    "SCRAM-SHA-256": {"password": PASSWORD},
    "XOAUTH2": {"token": TOKEN},
    "OAUTHBEARER": {"token": lambda: TOKEN},
}


def secret_of(mechanism: str) -> str:
    return TOKEN if "token" in MECHANISMS[mechanism] else PASSWORD


@pytest.fixture(params=list(MECHANISMS))
def mechanism(request: pytest.FixtureRequest) -> str:
    if request.param.startswith("SCRAM"):
        pytest.importorskip("scramp")
    return str(request.param)


# Whatever the server says.


def test_a_send_that_goes_well_shows_nothing(mechanism: str, send: Send) -> None:
    outcome, shown = send(Echo(secret_of(mechanism)), mechanism, **MECHANISMS[mechanism])

    assert isinstance(outcome, SendSuccess)
    assert any(f"AUTH {mechanism}" in text for text in shown)
    clean(shown)


def test_a_refusal_may_repeat_it(mechanism: str, send: Send) -> None:
    echo = Echo(secret_of(mechanism))
    echo.replies["AUTH"] = echo.lines("535", end="no")

    outcome, shown = send(echo, mechanism, **MECHANISMS[mechanism])

    assert isinstance(outcome, SendFailure)
    assert outcome.code == 535
    assert "***" in outcome.detail
    clean(shown)


def test_a_welcome_may_repeat_it_and_all_that_follows(mechanism: str, send: Send) -> None:
    echo = Echo(secret_of(mechanism))
    echo.replies = {
        "AUTH": echo.lines("235"),
        "MAIL": echo.lines("250"),
        "RCPT TO:<who@b.test>": echo.lines("550"),
        ".": echo.lines("250"),
        "QUIT": echo.lines("221"),
    }

    outcome, shown = send(echo, mechanism, **MECHANISMS[mechanism])

    assert isinstance(outcome, SendSuccess)
    assert len(outcome.refused) == 1
    clean(shown)


@pytest.mark.parametrize(
    ("verb", "code"),
    [
        ("MAIL", "550"),
        ("MAIL", "421"),
        ("MAIL", "354"),
        ("DATA", "451"),
        (".", "554"),
        (".", "354"),
        ("AUTH", "454"),
        ("AUTH", "335"),
        ("AUTH", "504"),
        ("AUTH", "235"),
        ("334", "334"),
        ("334", "535"),
    ],
)
def test_it_may_be_repeated_in_any_answer(verb: str, code: str, send: Send) -> None:
    echo = Echo(PASSWORD)
    echo.replies[verb] = echo.lines(code)

    _, shown = send(echo, "LOGIN")

    clean(shown)


@pytest.mark.parametrize("name", forms(PASSWORD))
def test_each_form_alone_is_masked_and_the_rest_is_not(name: str, send: Send) -> None:
    echo = Echo(PASSWORD)
    echo.replies["AUTH"] = [f"535 5.7.8 no <{forms(PASSWORD)[name]}> here\r\n".encode()]

    outcome, shown = send(echo)

    assert outcome.text is not None
    assert outcome.text.startswith("5.7.8 no <")
    assert outcome.text.endswith("> here")
    clean(shown)


def test_it_may_be_repeated_before_anything_was_said(send: Send) -> None:
    """The server knows it from another session."""
    for verb, code in (("greeting", "220"), ("greeting", "554"), ("EHLO", "250"), ("EHLO", "550")):
        echo = Echo(PASSWORD)
        echo.replies[verb] = echo.lines(code)

        outcome, shown = send(echo)

        assert isinstance(outcome, SendFailure) is (verb != "greeting" or code != "220")
        clean(shown)


@pytest.mark.parametrize("code", ["454", "502", "250", "421"])
def test_it_may_be_repeated_in_the_answer_to_starttls(code: str, send: Send) -> None:
    echo = Echo(PASSWORD)
    echo.replies["STARTTLS"] = echo.lines(code)

    outcome, shown = send(echo)

    assert isinstance(outcome, SendFailure)
    assert outcome.stage == "starttls"
    clean(shown)


def test_it_may_be_offered_as_an_extension_or_a_mechanism(send: Send) -> None:
    echo = Echo(PASSWORD)
    words = " ".join(form for form in forms(PASSWORD).values() if " " not in form)
    echo.replies["EHLO under TLS"] = [
        f"250-{PASSWORD}\r\n250-{words}\r\n250 AUTH {words}\r\n".encode()
    ]

    outcome, shown = send(echo)

    assert isinstance(outcome, SendFailure)
    assert "no common SASL mechanism" in outcome.detail
    clean(shown)


@pytest.mark.parametrize(
    "malformed",
    [
        "{}",
        "hello {} there",
        "2500 {}",
        "+25 {}",
        "250_{}",
        "25{}",
        "250-ok\r\n550 {}",
        "{}" * 100 + "\x00",
        "x" * 75 + "{}",  # where the line is cut for the detail
        "x" * 60 + " {} " + "y" * 4000,
        "250 {} " + "y" * 5000,
    ],
)
def test_invalid_reply_lines_are_redacted(malformed: str, send: Send) -> None:
    for form in (PASSWORD, *list(forms(PASSWORD).values())[3:8:2]):
        echo = Echo(PASSWORD)
        line = malformed.replace("{}", form)
        echo.replies["MAIL"] = [line.encode() + b"\r\n"]

        outcome, shown = send(echo)

        assert isinstance(outcome, SendFailure)
        assert outcome.kind.name == "PROTOCOL"
        clean(shown)


@pytest.mark.parametrize("cut", [1, 2, 5, 13])
def test_it_may_be_spread_over_the_lines_of_a_reply(cut: int, send: Send) -> None:
    for name in ("as it is", "base64", "PLAIN"):
        form = forms(PASSWORD)[name]
        pieces = [form[at : at + max(cut, len(form) // 9)] for at in range(0, len(form), cut)]
        pieces = [form[at : at + cut] for at in range(0, len(form), cut)]
        echo = Echo(PASSWORD)
        echo.replies["AUTH"] = [
            *[f"535-{piece}\r\n".encode() for piece in pieces[:200]],
            b"535 no\r\n",
        ]

        outcome, shown = send(echo)

        assert outcome.code == 535
        assert set(outcome.text.split()) == {"***"}  # type: ignore[union-attr]
        clean(shown)


def test_it_may_be_repeated_behind_the_verdict(send: Send) -> None:
    echo = Echo(PASSWORD)
    for code in ("250", "550", "421"):
        echo.replies["."] = [b"250 taken\r\n", *echo.lines(code)]

        _, shown = send(echo)

        clean(shown)


def test_each_token_that_was_fetched_is_masked(send: Send) -> None:
    first, second = Echo(f"{TOKEN}1"), Echo(f"{TOKEN}12")  # one is a part of the other

    def fetch() -> str:
        if not first.replies:
            first.replies["AUTH"] = first.lines("535")
            return first.secret
        first.replies["AUTH"] = [*first.lines("535")[:-1], *second.lines("535", end="no")]
        return second.secret

    outcome, shown = send(first, "XOAUTH2", token=fetch)

    assert outcome.code == 535
    assert str(outcome.text).endswith("no")
    clean(shown, first.secret, second.secret)


# Wherever an error comes from.


@pytest.mark.parametrize(
    ("mechanism", "broken"),
    [
        ("PLAIN", (Plain, "finish")),
        ("PLAIN", (Plain, "start")),
        ("XOAUTH2", (Xoauth2, "finish")),
        ("XOAUTH2", (Xoauth2, "start")),
        ("PLAIN", (authentication_module, "auth")),
        ("XOAUTH2", (authentication_module, "auth")),
        ("LOGIN", (authentication_module, "auth_response")),
        ("PLAIN", (authentication_module, "classify")),
    ],
)
def test_a_defect_of_ours_takes_none_of_it_along(
    mechanism: str, broken: tuple[Any, str], send: Send, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: object, **kwargs: object) -> None:
        raise RuntimeError("a defect")

    place, name = broken
    if name == "start":  # made once before, in the caller
        monkeypatch.setattr(place, "check_size", lambda self: None)
    monkeypatch.setattr(place, name, fail)
    tokens = {"token": lambda: TOKEN} if mechanism == "XOAUTH2" else {"password": PASSWORD}

    outcome, shown = send(Echo(PASSWORD), mechanism, **tokens)

    assert isinstance(outcome, SendFailure)
    assert outcome.kind.name == "INTERNAL"
    assert any("'mechanism'" in text or "'server'" in text for text in shown)  # the locals
    clean(shown)


def test_what_a_callable_raises_is_not_shown(send: Send) -> None:
    def fetch() -> str:
        secret = TOKEN
        raise RuntimeError(f"no luck with {secret}")

    outcome, shown = send(Echo(TOKEN), "XOAUTH2", token=fetch)

    assert isinstance(outcome, SendFailure)
    assert outcome.kind.name == "LOCAL"
    clean(shown)


@pytest.mark.parametrize(
    "given",
    [
        {"password": PASSWORD + "\n"},
        {"password": PASSWORD, "auth": ["NTLM"]},
        {"password": PASSWORD, "auth": ["XOAUTH2"]},
        {"password": PASSWORD, "port": 0},
        {"password": PASSWORD, "tls": "perhaps"},
        {"password": PASSWORD, "server": "mx.test", "allow_plaintext_auth": True},
        {"password": PASSWORD, "token": TOKEN},
        {"token": TOKEN + " "},
        {"token": f"Bearer {TOKEN}"},
        {"token": TOKEN, "auth": ["PLAIN"]},
        {"url": f"smtp://user:{quote(PASSWORD, safe='')}@mx.test:0"},
        {"url": f"smtp://user:{quote(PASSWORD, safe='')}@mx.test?nonsense=1"},
        {"url": f"smtp://user:{PASSWORD}@mx.test"},
        {"url": f"nonsense://user:{PASSWORD}@mx.test"},
        {"url": f"smtp://user:{quote(PASSWORD, safe='')}"},
        {"url": f"smtp://user:{TOKEN}@mx.test?auth=XOAUTH2,NTLM"},
    ],
)
def test_an_error_in_the_caller_shows_none_of_it(given: dict[str, Any]) -> None:
    options: dict[str, Any] = given if "url" in given else {"username": USER, **given}

    for start in (SmtpActor, SmtpActor.start, verify):
        with pytest.raises(ValueError) as caught:
            start(**options)
        assert hits(with_locals(caught.value), PASSWORD) == []
        assert hits(with_locals(caught.value), TOKEN) == []


@pytest.mark.parametrize(
    "given",
    [
        {"password": PASSWORD, "timeout": "30"},
        {"password": PASSWORD, "token": 3},
        {"password": PASSWORD, "auth": 3},
        {"password": PASSWORD, "no_such_option": 3},
        {"url": f"smtp://user:{TOKEN}@mx.test", "password": 3},
    ],
)
def test_an_option_of_a_wrong_type_does_not_show_the_others(given: dict[str, Any]) -> None:
    for start in (SmtpActor.start, verify):
        with pytest.raises(TypeError) as caught:
            start(**{"username": USER, **given})
        assert hits(with_locals(caught.value), PASSWORD) == []
        assert hits(with_locals(caught.value), TOKEN) == []


def test_an_actor_whose_options_are_wrong_can_be_shown() -> None:
    with pytest.raises(ValueError) as caught:
        SmtpActor.start(port=0)

    assert "<SmtpActor>" in with_locals(caught.value)


# What is kept.


def test_a_report_on_a_server_shows_none_of_it(
    certificates: Certificates, scripted_server: Callable[..., ScriptedServer]
) -> None:
    echo = Echo(PASSWORD)
    echo.replies = {
        "greeting": echo.lines("220"),
        "EHLO under TLS": [*echo.lines("250")[:-1], b"250 AUTH PLAIN\r\n"],
        "AUTH": echo.lines("235"),
    }
    auth = AuthServer(users={USER: PASSWORD})
    server = scripted_server(
        repeating(echo, auth, "PLAIN", lambda: None),
        context=server_context(Tls(certificate=certificates.good)),
    )

    report = verify(
        server.host,
        server.port,
        username=USER,
        password=PASSWORD,
        tls="starttls",
        tls_context=certificates.trusting(),
        timeout=PATIENCE,
    )

    assert report.authenticated
    assert len(report.offers) > 5
    shown = [repr(report), str(report), *report.offers, *report.transcript, *report.warnings]
    assert hits("\n".join(shown), PASSWORD) == []


def test_sends_at_the_same_time_do_not_share_what_they_know(
    certificates: Certificates, scripted_server: Callable[..., ScriptedServer]
) -> None:
    """The options of equal sends are made once; their tokens are their own."""
    tokens = [f"Zx9.{number:03}.corract-horse~Qv7" for number in range(8)]
    left, lock = list(tokens), threading.Lock()

    def fetch() -> str:
        with lock:
            return left.pop()

    def script(conn: Conn) -> None:
        conn.send("220 mx.test")
        conn.line()
        conn.send("250-mx.test", "250 AUTH XOAUTH2")
        token = base64.b64decode(conn.line().split(" ")[2]).split(b"Bearer ")[1].rstrip(b"\x01")
        conn.send(f"454 4.7.0 not <{token.decode()}> now")
        conn.line("QUIT")
        conn.send("221 bye")

    server = scripted_server(script)
    refs = [
        SmtpActor.start(
            server.host,
            server.port,
            username=USER,
            token=fetch,
            tls="off",
            allow_plaintext_auth=True,
            debug=True,
            timeout=PATIENCE,
        )
        for _ in tokens
    ]
    answers = [ref.ask(MAIL, block=False) for ref in refs]
    outcomes = [answer.get(timeout=PATIENCE) for answer in answers]
    assert all(ref.actor_stopped.wait(PATIENCE) for ref in refs)

    for outcome in outcomes:
        assert outcome.text == "4.7.0 not <***> now"
        shown = "\n".join(shown_of(outcome))
        assert not [token for token in tokens if hits(shown, token)]


def test_keys_are_secrets_but_contexts_and_certificates_are_not(certificates: Certificates) -> None:
    context = certificates.trusting(certificates.client)
    actor = SmtpActor(tls_context=context)

    assert "PRIVATE" not in repr((actor, actor._options))
    assert isinstance(context, ssl.SSLContext)
