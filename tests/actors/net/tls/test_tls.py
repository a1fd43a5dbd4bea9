"""Which TLS there is to be with a server: by option, port and credentials."""

import contextlib
import dataclasses
import ssl
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, cast

import pytest
from servers.certificates import Certificates, server_context
from servers.certificates import Tls as ServerTls

from pykka_smtp.actors.net.tls import tls as tls_module
from pykka_smtp.actors.net.tls.channel import TlsChannel
from pykka_smtp.actors.net.tls.tls import Tls, choose_tls, open_channel, remember_session
from pykka_smtp.smtp.session.opening.session import TlsPolicy

LOOKED_AT = ("options", "verify_mode", "check_hostname", "minimum_version", "verify_flags")
NONE, IF, MUST = None, TlsPolicy.OPPORTUNISTIC, TlsPolicy.REQUIRED

# (tls, port) -> (policy, from the start) without credentials, and with them.
TABLE = {
    ("auto", 25): ((IF, False), (MUST, False)),
    ("auto", 2525): ((IF, False), (MUST, False)),
    ("auto", 465): ((MUST, True), (MUST, True)),
    ("auto", 587): ((MUST, False), (MUST, False)),
    ("starttls", 25): ((MUST, False), (MUST, False)),
    ("starttls", 465): ((MUST, False), (MUST, False)),
    ("starttls", 587): ((MUST, False), (MUST, False)),
    ("implicit", 25): ((MUST, True), (MUST, True)),
    ("implicit", 465): ((MUST, True), (MUST, True)),
    ("implicit", 587): ((MUST, True), (MUST, True)),
    ("off", 25): (NONE, NONE),
    ("off", 465): (NONE, NONE),
    ("off", 587): (NONE, NONE),
}


def choose(
    choice: str = "auto",
    context: ssl.SSLContext | None = None,
    *,
    host: str = "mx.test",
    port: int = 25,
    credentials: bool = False,
    without: bool = False,
) -> Tls | None:
    return choose_tls(
        choice, context, host=host, port=port, has_credentials=credentials, may_do_without=without
    )


def chosen(choice: str = "auto", context: ssl.SSLContext | None = None, **given: object) -> Tls:
    tls = choose(choice, context, **given)  # type: ignore[arg-type]
    assert tls is not None
    return tls


@pytest.mark.parametrize(("choice", "port"), TABLE)
@pytest.mark.parametrize("credentials", [False, True])
def test_option_port_and_credentials_decide(choice: str, port: int, credentials: bool) -> None:
    expected = TABLE[choice, port][credentials]

    tls = choose(choice, port=port, credentials=credentials)

    if tls is None:
        assert expected is NONE
    else:
        assert (tls.policy, tls.is_implicit) == expected
        assert tls.is_verified is (tls.policy is MUST)
        assert tls.server_hostname == "mx.test"


@pytest.mark.parametrize(("port", "policy"), [(25, IF), (2525, IF), (465, MUST), (587, MUST)])
def test_credentials_that_may_go_without_tls_ask_for_none(port: int, policy: TlsPolicy) -> None:
    assert chosen(port=port, credentials=True, without=True).policy is policy


def test_who_asks_for_verified_tls_gets_it_in_every_way() -> None:
    context = chosen("starttls").context

    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
    assert context is chosen("implicit").context  # the system's authorities are read once
    assert context is not chosen().context


def test_encryption_for_want_of_better_verifies_nothing() -> None:
    tls = chosen()

    assert tls.context.verify_mode is ssl.CERT_NONE
    assert not tls.context.check_hostname
    assert not tls.is_verified


@pytest.mark.parametrize("choice", ["auto", "starttls"])
def test_no_context_of_ours_takes_tls_that_is_broken(choice: str) -> None:
    context = chosen(choice).context

    assert context.minimum_version is ssl.TLSVersion.TLSv1_2  # RFC 8996
    assert context.options & ssl.OP_NO_RENEGOTIATION
    assert context.options & ssl.OP_NO_COMPRESSION
    assert not context.hostname_checks_common_name  # RFC 9525 §2


@pytest.mark.parametrize("choice", ["auto", "starttls", "implicit"])
@pytest.mark.parametrize("port", [25, 465, 587])
def test_a_context_of_the_callers_own_is_used_as_it_is(choice: str, port: int) -> None:
    own = ssl.create_default_context()
    own.minimum_version = ssl.TLSVersion.TLSv1_3

    tls = chosen(choice, own, port=port)

    assert tls.context is own
    assert own.minimum_version is ssl.TLSVersion.TLSv1_3
    assert not own.options & ssl.OP_NO_RENEGOTIATION
    assert tls.is_verified


def test_where_a_context_of_the_callers_own_refuses_a_server_there_is_no_clear_text() -> None:
    own = ssl.create_default_context()

    assert chosen(context=own).policy is TlsPolicy.OFFERED
    assert chosen(context=own, port=587).policy is MUST
    assert chosen(context=own, credentials=True).policy is MUST
    assert choose("off", own) is None


@pytest.mark.parametrize(
    ("mode", "name"),
    [(ssl.CERT_NONE, False), (ssl.CERT_OPTIONAL, False), (ssl.CERT_REQUIRED, False)],
)
def test_a_context_that_lets_some_pass_verifies_none(mode: ssl.VerifyMode, name: bool) -> None:
    own = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    own.check_hostname = name
    own.verify_mode = mode

    assert not chosen("starttls", own).is_verified


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("mx.test", "mx.test"),
        ("MX.Test", "MX.Test"),  # compared in either case
        ("mx.test.", "mx.test"),  # RFC 6066 §3
        ("bücher.test", "xn--bcher-kva.test"),
        ("BÜCHER.test", "xn--bcher-kva.test"),
        ("bücher.test.", "xn--bcher-kva.test"),
        ("xn--bcher-kva.test", "xn--bcher-kva.test"),
        ("例え。テスト", "xn--r8jz45g.xn--zckzah"),
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8::1", "2001:db8::1"),
        ("fe80::1%eth0", "fe80::1"),
        ("localhost", "localhost"),
    ],
)
def test_the_certificate_must_be_for_the_host_as_it_was_configured(host: str, name: str) -> None:
    assert chosen("starttls", host=host).server_hostname == name


@pytest.mark.parametrize("host", ["ü..test", f"{'ü' * 70}.test", "ü\u0627.test"])
def test_a_host_that_has_no_a_label_is_a_value_error(host: str) -> None:
    with pytest.raises(ValueError, match="server: not a host name"):
        choose("starttls", host=host)


def test_the_authorities_of_the_system_are_the_ones_that_are_trusted(
    certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificates.ca))
    tls_module._verifying_context.cache_clear()
    try:
        trusted = chosen("starttls").context.get_ca_certs(binary_form=True)
    finally:
        tls_module._verifying_context.cache_clear()

    assert ssl.PEM_cert_to_DER_cert(certificates.ca.read_text()) in trusted


def serving(certificates: Certificates) -> ssl.SSLContext:
    return server_context(ServerTls(certificate=certificates.good))


@pytest.fixture(autouse=True)
def _fresh_contexts() -> Iterator[None]:
    """No test takes up the session of another, and none leaves one behind."""
    tls_module._opportunistic_context.cache_clear()
    yield
    tls_module._opportunistic_context.cache_clear()


def shake_hands(
    context: ssl.SSLContext, server: ssl.SSLContext, name: str
) -> tuple[Tls, TlsChannel]:
    """Lead a TLS handshake in memory, and have the server say something; return the client."""
    tls = dataclasses.replace(chosen("auto"), context=context, server_hostname=name)
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    theirs = server.wrap_bio(to_server, to_client, server_side=True)
    ours = open_channel(tls)
    to_server.write(ours.begin())
    for _ in range(10):
        with contextlib.suppress(ssl.SSLWantReadError):
            theirs.do_handshake()
            break
        ours.receive(to_client.read())
        to_server.write(ours.take())
    theirs.write(b"220 mx")
    assert ours.receive(to_client.read()) == b"220 mx"
    return tls, ours


@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_session_is_taken_up_again_with_the_same_name_only(
    version: ssl.TLSVersion, own: bool, certificates: Certificates
) -> None:
    server = serving(certificates)
    server.maximum_version = version
    context = certificates.trusting() if own else chosen("auto").context
    context.check_hostname = False

    tls, first = shake_hands(context, server, "localhost")
    remember_session(tls, first)

    assert not first.is_resumed
    assert shake_hands(context, server, "localhost")[1].is_resumed
    assert not shake_hands(context, server, "elsewhere.test")[1].is_resumed


def test_a_session_is_forgotten_in_time(
    certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, context = serving(certificates), chosen("auto").context
    remember_session(*shake_hands(context, server, "localhost"))
    monkeypatch.setattr(tls_module, "_SESSION_LIFETIME", 0.0)

    assert not shake_hands(context, server, "localhost")[1].is_resumed


def test_the_hour_of_a_session_begins_with_the_last_look_at_the_certificate(
    certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, context = serving(certificates), chosen("auto").context
    clock = [0.0]
    monkeypatch.setattr(tls_module, "time", SimpleNamespace(monotonic=lambda: clock[0]))
    remember_session(*shake_hands(context, server, "localhost"))
    for clock[0] in (1800.0, 3599.0):
        tls, channel = shake_hands(context, server, "localhost")
        assert channel.is_resumed
        remember_session(tls, channel)

    clock[0] = 3601.0

    assert not shake_hands(context, server, "localhost")[1].is_resumed


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[TlsChannel]:
    """Those whose sessions were looked at, in order."""
    seen: list[TlsChannel] = []
    session_of = cast("Any", TlsChannel.session).fget

    def session(channel: TlsChannel) -> Any:
        seen.append(channel)
        return session_of(channel)

    monkeypatch.setattr(TlsChannel, "session", property(session))
    return seen


def test_a_server_s_sessions_are_looked_at_once_and_not_at_each_connection(
    certificates: Certificates, monkeypatch: pytest.MonkeyPatch, looks: list[TlsChannel]
) -> None:
    """To look at one leaks memory in Python's own ssl, where that is not new."""
    server, context = serving(certificates), chosen("auto").context
    forgetful = serving(certificates)  # takes none up again

    for where in (server, server, server, forgetful, forgetful):
        remember_session(*shake_hands(context, where, "localhost"))

    assert len(looks) == 1
    monkeypatch.setattr(tls_module, "_MIN_AGE", 0.0)
    remember_session(*shake_hands(context, forgetful, "localhost"))
    assert len(looks) == 2
    assert shake_hands(context, forgetful, "localhost")[1].is_resumed


def test_a_server_that_gives_no_session_is_not_asked_at_each_connection(
    certificates: Certificates, monkeypatch: pytest.MonkeyPatch, looks: list[TlsChannel]
) -> None:
    """And what it says of itself takes no session from others of its name."""
    giving, context = serving(certificates), chosen("auto").context
    stingy = serving(certificates)
    stingy.num_tickets = 0

    for _ in range(3):
        remember_session(*shake_hands(context, stingy, "localhost"))
    assert len(looks) == 1

    monkeypatch.setattr(tls_module, "_MIN_AGE", 0.0)
    remember_session(*shake_hands(context, giving, "localhost"))
    remember_session(*shake_hands(context, stingy, "localhost"))
    assert len(looks) == 3
    assert shake_hands(context, giving, "localhost")[1].is_resumed


def test_only_so_many_sessions_are_remembered(
    certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, context = serving(certificates), chosen("auto").context
    monkeypatch.setattr(tls_module, "_MAX_SESSIONS", 1)
    remember_session(*shake_hands(context, server, "localhost"))
    remember_session(*shake_hands(context, server, "elsewhere.test"))

    assert not shake_hands(context, server, "localhost")[1].is_resumed
    assert shake_hands(context, server, "elsewhere.test")[1].is_resumed


def test_an_unverified_tls_session_is_not_resumed_by_a_verifying_context(
    certificates: Certificates,
) -> None:
    context, server = certificates.trusting(), serving(certificates)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    remember_session(*shake_hands(context, server, "localhost"))

    context.verify_mode = ssl.CERT_REQUIRED

    assert not shake_hands(context, server, "localhost")[1].is_resumed


def test_a_context_that_cannot_be_looked_up_resumes_nothing_and_works(
    certificates: Certificates,
) -> None:
    class Unhashable(ssl.SSLContext):
        __hash__ = None  # type: ignore[assignment]

    context, server = Unhashable(ssl.PROTOCOL_TLS_CLIENT), serving(certificates)
    context.load_verify_locations(certificates.ca)

    remember_session(*shake_hands(context, server, "localhost"))

    assert not shake_hands(context, server, "localhost")[1].is_resumed


def test_a_context_of_the_callers_own_is_left_alone(certificates: Certificates) -> None:
    own = certificates.trusting()
    before = {name: getattr(own, name) for name in LOOKED_AT}
    tls, channel = shake_hands(own, serving(certificates), "localhost")
    remember_session(tls, channel)

    assert chosen("starttls", own).context is own
    assert {name: getattr(own, name) for name in LOOKED_AT} == before
    assert own.sslobject_class is ssl.SSLObject
