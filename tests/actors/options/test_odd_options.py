"""Options that no check was written for: told at once, in one plain line, and without a secret."""

import ssl
import traceback
from collections.abc import Callable
from enum import IntEnum, StrEnum
from typing import Any

import pytest
from servers.scripted import ScriptedServer

from pykka_smtp import Drain, Mailer, RetryPolicy, SendMail, SendSuccess, SmtpActor, verify

PASSWORD = "hunter2-hunter2"


class Unhashable(str):
    __slots__ = ()
    __hash__ = None  # type: ignore[assignment]


class Raising(str):
    """A str whose methods raise."""

    __slots__ = ()

    def __hash__(self) -> int:
        raise RuntimeError("no hash")

    def __repr__(self) -> str:
        raise RuntimeError("no repr")

    def __eq__(self, other: object) -> bool:
        raise RuntimeError("no comparison")

    def lower(self) -> str:
        raise RuntimeError("no small letters")


def start(**options: Any) -> None:
    SmtpActor.start(**options)


def start_mailer(**options: Any) -> None:
    Mailer.start(**options)


# Numbers, texts and contexts.


@pytest.mark.parametrize("begin", [start, start_mailer, verify])
@pytest.mark.parametrize(
    "options",
    [
        {"tls_context": object()},
        {"tls_context": object(), "tls": "off"},
        {"tls_context": ssl.SSLContext},
        {"tls_context": ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)},
        {"tls_context": ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), "tls": "off"},
        {"tls_context": object(), "url": "lmtp+unix:///run/lmtp"},
        {"local_hostname": Unhashable("client.test")},
        {"server": Unhashable("localhost")},
        {"alias": Unhashable("news")},
        {"username": Unhashable("me"), "password": "secret"},
        {"tls": Unhashable("off")},
        {"timeout_profile": Unhashable("interactive")},
        {"timeout": 10**400},
        {"deadline": 10**400},
        {"timeout": -(10**400)},
        {"timeout": 1e300},
        {"deadline": float("inf")},
        {"timeout": float("nan")},
        {"timeout": 10**5000},
        {"port": 10**4200},
        {"port": 10**5000},
        {"port": -(10**5000)},
        {"source_address": ("127.0.0.1", 10**5000)},
        {"source_address": ("no\naddress" * 100, 0)},
        {"timeout_profile": "x" * 10_000},
        {"tls": "x\n" * 10_000},
        {"tls": ["off"]},
        {"timeout_profile": 10**5000},
        {"auth": ["x" * 10_000]},
        {"auth": 5, "url": "smtp://me:secret@localhost"},
    ],
)
def test_an_odd_option_is_told_at_once_in_one_plain_line(
    begin: Callable[..., object], options: dict[str, Any]
) -> None:
    with pytest.raises((ValueError, TypeError)) as caught:
        begin(**options)

    assert_plain(str(caught.value), next(iter(options)))


@pytest.mark.parametrize(
    "options",
    [
        {"max_connections": 10**5000},
        {"initial_connections": 10**5000},
        {"max_mails_per_connection": -(10**5000)},
        {"max_queued": 10**5000},
        {"grace": 10**400},
        {"grace": 1e300},
        {"idle_timeout": 10**400},
        {"rate": 10**5000},
        {"rate": -(10**5000)},
        {"backups": [("smtp://localhost", 10**5000)]},
        {"backups": [("smtp://localhost", "smtp://localhost")]},
        {"backups": 10**5000},
    ],
)
def test_an_odd_option_of_a_mailer_is_told_at_once_in_one_plain_line(
    options: dict[str, Any],
) -> None:
    with pytest.raises((ValueError, TypeError)) as caught:
        Mailer.start(**options)

    assert_plain(str(caught.value), next(iter(options)))


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda: Drain(timeout=10**400), "timeout"),
        (lambda: RetryPolicy(max_attempts=10**5000), "retry.max_attempts"),
        (lambda: RetryPolicy(initial_delay=10**5000), "retry.initial_delay"),
        (lambda: RetryPolicy(max_delay=-(10**5000)), "retry.max_delay"),
        (lambda: RetryPolicy(multiplier=10**5000), "retry.multiplier"),
        (lambda: RetryPolicy(jitter=10**5000), "retry.jitter"),
        (lambda: RetryPolicy(give_up_after=10**5000), "retry.give_up_after"),
        (lambda: RetryPolicy().delay(-(10**5000), 0.5), "attempt"),
        (lambda: RetryPolicy().delay(1, 10**5000), "random"),
        (lambda: SendMail(sender="a@b.test", recipients="c@d.test", hold_for=10**5000), "hold_for"),
    ],
)
def test_a_number_of_thousands_of_digits_is_not_repeated(
    make: Callable[[], object], name: str
) -> None:
    with pytest.raises(ValueError) as caught:
        make()

    assert_plain(str(caught.value), name)


@pytest.mark.parametrize("begin", [SmtpActor.start, Mailer.start, verify])
@pytest.mark.parametrize("name", ["debug", "allow_plaintext_auth"])
@pytest.mark.parametrize("value", ["x", "false", 1, 0, None, []], ids=repr)
def test_what_is_neither_true_nor_false_is_no_flag(
    begin: Callable[..., object], name: str, value: object
) -> None:
    with pytest.raises(TypeError, match=f"^{name}: needs True or False, not ") as caught:
        begin(**{name: value})

    assert_plain(str(caught.value), name)


def assert_plain(text: str, name: str) -> None:
    assert text.isprintable()
    assert len(text) < 250
    assert text.startswith(f"{name}: "), text


def test_a_str_or_int_of_another_kind_is_taken_for_what_it_is(server: ScriptedServer) -> None:
    class Name(StrEnum):
        HOST = server.host
        ME = "client.test"

    class Port(IntEnum):
        SMTP = server.port

    ref = SmtpActor.start(
        Raising(Name.HOST),
        Port.SMTP,
        local_hostname=Name.ME,
        alias=Raising("news"),
        timeout=True + 1,
    )
    outcome = ref.ask(SendMail(sender="a@b.test", recipients="c@d.test"), timeout=10)

    assert isinstance(outcome, SendSuccess)
    assert type(outcome.alias) is str
    assert server.lines[0] == "EHLO client.test"


@pytest.mark.parametrize("begin", [start, start_mailer, verify])
@pytest.mark.parametrize("alias", ["\ud800", "news\udcff"])
def test_an_alias_that_cannot_be_written_anywhere_is_refused(
    begin: Callable[..., object], alias: str
) -> None:
    with pytest.raises(ValueError, match=r"^alias: has a lone surrogate: ") as caught:
        begin(alias=alias)

    assert str(caught.value).isascii()


# A server that is something more.


@pytest.mark.parametrize("begin", [SmtpActor.start, Mailer.start, verify])
@pytest.mark.parametrize(
    ("server", "words"),
    [
        ("mail.example.org:25", "did you mean port=25"),
        ("127.0.0.1:2525", "did you mean port=2525"),
        ("[::1]:25", "Write server='::1', port=25"),
        ("[::1]", "not a host name or address"),
        ("mail.example.org:", "not a host name or address"),
        ("mail.example.org:smtp", "not a host name or address"),
        ("a:b:c", "not a host name or address"),
    ],
)
def test_a_port_behind_the_host_is_told_at_once(
    begin: Callable[..., object], server: str, words: str
) -> None:
    with pytest.raises(ValueError) as caught:
        begin(server)

    assert words in str(caught.value)


def frames_of(error: BaseException) -> str:
    """Write what tools for error reports show: the locals of all frames but those of this file."""
    told = traceback.TracebackException.from_exception(error, capture_locals=True)
    texts = ["".join(told.format_exception_only()), repr(error)]
    seen: traceback.TracebackException | None = told
    while seen is not None:
        texts += [f"{frame.locals}" for frame in seen.stack if frame.filename != __file__]
        seen = seen.__cause__ or seen.__context__
    return "\n".join(texts)


@pytest.mark.parametrize("begin", [SmtpActor.start, SmtpActor, Mailer.start, Mailer, verify])
@pytest.mark.parametrize(
    ("arguments", "shows"),
    [
        ((f"smtp://me:{PASSWORD}@h.test:587",), "'smtp://me:***@h.test:587'"),
        ((f"smtps://me:{PASSWORD}@h.test", 465), "'smtps://me:***@h.test'"),
        ((f"http://me:{PASSWORD}@h.test",), "not a host name"),
        ((f"me:{PASSWORD}@h.test",), "not a host name"),
    ],
)
def test_a_url_in_the_place_of_the_server_shows_no_password(
    begin: Callable[..., object], arguments: tuple[Any, ...], shows: str
) -> None:
    with pytest.raises(ValueError) as caught:
        begin(*arguments)

    assert str(caught.value).startswith("server: ")
    assert str(caught.value).endswith("; did you mean url=?")
    assert shows in str(caught.value)
    assert PASSWORD not in frames_of(caught.value)


@pytest.mark.parametrize("begin", [SmtpActor.start, SmtpActor, Mailer.start, Mailer, verify])
@pytest.mark.parametrize(
    "call",
    [
        ((), {"server": f"smtp://me:{PASSWORD}@h.test"}),
        (("h.test", f"smtp://me:{PASSWORD}@h.test"), {}),
        (("h.test",), {"port": f"smtp://me:{PASSWORD}@h.test"}),
        (("h.test", 25, f"smtp://me:{PASSWORD}@h.test"), {}),
        ((), {"uri": f"smtp://me:{PASSWORD}@h.test"}),
        ((), {"passwort": PASSWORD}),
        ((), {"url": f"smtp://me:{PASSWORD}@h.test", "timeout": 0}),
        ((), {"username": "me", "password": PASSWORD, "port": 0}),
        ((), {"username": "me", "password": PASSWORD.encode()}),
        ((), {"username": "me", "password": [PASSWORD]}),
        ((), {"token": (PASSWORD,)}),
        ((), {"url": f"smtp://me:{PASSWORD}@h.test".encode()}),
        ((), {"proxy": {"http": f"http://me:{PASSWORD}@h.test"}}),
        ((f"smtp://me:{PASSWORD}@h.test".encode(),), {}),
        ((), {"passwort": PASSWORD.encode()}),
        ((), {"bakups": [f"smtp://u:{PASSWORD}@h.test"], "timeout": 0}),
    ],
)
def test_a_secret_in_a_wrong_call_is_in_no_frame(
    begin: Callable[..., object], call: tuple[tuple[Any, ...], dict[str, Any]]
) -> None:
    with pytest.raises((ValueError, TypeError)) as caught:
        begin(*call[0], **call[1])

    assert PASSWORD not in frames_of(caught.value)


@pytest.mark.parametrize("begin", [Mailer.start, Mailer])
@pytest.mark.parametrize(
    "backups",
    [
        [f"smtp://u:{PASSWORD}@h.test"],
        (f"smtp://u:{PASSWORD}@h.test", f"smtp://v:{PASSWORD}@h.test"),
        [(f"smtp://u:{PASSWORD}@h.test", 1.0)],
        [[f"smtp://u:{PASSWORD}@h.test", 1.0]],
        [("smtp://h.test", f"smtp://u:{PASSWORD}@h.test")],
        f"smtp://u:{PASSWORD}@h.test",
    ],
)
@pytest.mark.parametrize(
    "options",
    [{"timeout": 0}, {"max_connections": 0}, {"grace": "x"}, {"rate": "x"}, {"bad_option": 1}],
)
def test_a_backups_password_is_in_no_frame_whatever_else_is_wrong(
    begin: Callable[..., object], backups: Any, options: dict[str, Any]
) -> None:
    with pytest.raises((ValueError, TypeError)) as caught:
        begin("h.test", backups=backups, **options)

    assert PASSWORD not in frames_of(caught.value)


@pytest.mark.parametrize(
    ("backups", "words"),
    [
        ([f"smtp://u:{PASSWORD}@h.test:x"], "relay URL 'smtp://u:***@h.test...'"),
        ([f"http://u:{PASSWORD}@h.test"], "unknown scheme"),
        (f"smtp://u:{PASSWORD}@h.test", "backups: needs relay URLs"),
        ([[f"smtp://u:{PASSWORD}@h.test", 1]], "backups: needs relay URLs, not list"),
        ([5], "backups: needs relay URLs, not int"),
        ([f"smtp://u:{PASSWORD}@h.test".encode()], "backups: needs relay URLs, not bytes"),
    ],
)
def test_a_wrong_backup_is_told_without_its_password(backups: Any, words: str) -> None:
    with pytest.raises((ValueError, TypeError)) as caught:
        Mailer.start(backups=backups)

    assert words in str(caught.value)
    assert PASSWORD not in frames_of(caught.value)


def test_backups_can_be_given_one_by_one_and_without_end() -> None:
    def endless() -> Any:
        while True:
            yield "smtp://h.test"

    with pytest.raises(ValueError, match="backups: more than 100"):
        Mailer.start(backups=endless())


def test_an_actor_of_the_programs_own_may_have_options_of_its_own() -> None:
    class Noting(SmtpActor):
        def __init__(self, *, note: str, **options: Any) -> None:
            super().__init__(**options)
            self.note = note

    start: Any = Noting.start  # has the signature of `SmtpActor.start`, as far as checkers know
    ref: Any = start(note="smtp://a@b", server="localhost")
    actor = ref._actor_weakref()
    ref.stop()

    assert actor.note == "smtp://a@b"


# Which addresses are tried.


@pytest.mark.parametrize(("source", "arrives"), [("0.0.0.0", True), ("::", False)])
def test_a_source_address_of_zeros_chooses_the_kind_of_address(
    server: ScriptedServer, source: str, *, arrives: bool
) -> None:
    ref = SmtpActor.start(server.host, server.port, source_address=(source, 0), timeout=2)
    outcome = ref.ask(SendMail(sender="a@b.test", recipients="c@d.test"), timeout=10)

    assert isinstance(outcome, SendSuccess) is arrives
    assert len(server.sessions) == arrives
