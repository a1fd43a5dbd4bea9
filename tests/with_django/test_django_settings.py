"""What the backend for Django makes of settings: which count, and what is shown of them."""

import contextlib
import os
import ssl
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from servers.certificates import Certificates, Tls, server_context
from servers.scripted import ScriptedServer
from servers.waiting import PATIENCE

from pykka_smtp import SendError, wait_until_done
from pykka_smtp.testing import Server, logins
from with_django.rig import HAS_MAILERS, Backend, EmailBackend, given, message, settings

ALIASED = pytest.mark.skipif(not HAS_MAILERS, reason="MAILERS came with Django 6.1")
URL = "smtp://user:hidden@relay.test:2525?tls=off&timeout=7"


def shown(backend: Any) -> dict[str, Any]:
    """Return the options of the Mailer that a backend would use."""
    seen: dict[str, Any] = {}

    @contextlib.contextmanager
    def using(options: dict[str, Any]) -> Iterator[None]:
        seen.update(options)
        yield

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pykka_smtp.django.backend.mailers.using", using)
        with backend._mailer():
            pass
    return seen


def test_without_any_settings_it_is_this_machine(backend: Backend) -> None:
    options = shown(backend())

    assert (options["server"], options["port"], options["tls"]) == ("localhost", 25, "auto")
    assert options["alias"] == "django"
    assert {"username", "timeout", "url", "tls_context"} & set(options) == set()


def test_djangos_own_settings_count(backend: Backend) -> None:
    with given(
        EMAIL_HOST="relay.test",
        EMAIL_PORT=587,
        EMAIL_HOST_USER="user",
        EMAIL_HOST_PASSWORD="hidden",
        EMAIL_USE_TLS=True,
        EMAIL_TIMEOUT=5,
    ):
        made = backend()
        options = shown(made)

    assert (options["server"], options["port"], options["tls"]) == ("relay.test", 587, "starttls")
    assert (options["username"], options["password"].reveal()) == ("user", "hidden")
    assert options["timeout"] == 5
    assert (made.host, made.port, made.password) == ("relay.test", 587, "hidden")
    assert "hidden" not in repr(vars(made)) + repr(options)


def test_implicit_tls_and_arguments_that_beat_settings(backend: Backend) -> None:
    with given(EMAIL_HOST="relay.test", EMAIL_USE_SSL=True, EMAIL_HOST_USER="user"):
        options = shown(backend())
        other = shown(backend(host="other.test", port=26, use_ssl=False, username="", timeout=3))

    assert options["tls"] == "implicit"
    assert "username" not in options  # without a password Django does not log in, either
    assert (other["server"], other["port"], other["tls"], other["timeout"]) == (
        *("other.test", 26, "auto", 3),
    )


def test_a_port_from_the_environment_is_a_text(backend: Backend) -> None:
    with given(EMAIL_PORT="2525"):
        assert shown(backend())["port"] == 2525


def test_both_kinds_of_tls_are_an_error(backend: Backend) -> None:
    with (
        given(EMAIL_USE_TLS=True, EMAIL_USE_SSL=True),
        pytest.raises(ValueError, match="exclusive"),
    ):
        backend()


def test_a_relay_url_wins_over_all_other_settings_of_the_relay(backend: Backend) -> None:
    with given(
        SMTP_URL=URL,
        EMAIL_HOST="old.test",
        EMAIL_HOST_USER="old",
        EMAIL_HOST_PASSWORD="secret",
        EMAIL_USE_SSL=True,
        EMAIL_SSL_CERTFILE="/none",
    ):
        made = backend()
        options = shown(made)

    assert options["url"].reveal() == URL
    assert {"server", "tls", "username", "tls_context"} & set(options) == set()
    assert (made.host, made.port, made.password) == ("relay.test", 2525, None)
    assert "hidden" not in repr(vars(made)) + repr(options)


def test_a_host_in_the_code_wins_over_the_relay_url(backend: Backend) -> None:
    with given(SMTP_URL=URL):
        options = shown(backend(host="other.test"))

    assert "url" not in options
    assert options["server"] == "other.test"


@pytest.mark.parametrize("url", ["relay.test", "smtp://user:hidden@relay.test:x"])
def test_a_wrong_relay_url_names_the_setting_and_hides_the_password(
    backend: Backend, url: str
) -> None:
    with given(SMTP_URL=url), pytest.raises(ValueError, match=r"^SMTP_URL") as caught:
        backend()

    assert "hidden" not in str(caught.value)
    with given(SMTP_URL=7), pytest.raises(TypeError, match="not int"):
        backend()


def test_djangos_report_of_an_error_shows_no_url_that_a_function_returns(backend: Backend) -> None:
    from django.views.debug import SafeExceptionReporterFilter

    def url() -> str:
        return URL

    with given(SMTP_URL=url):
        assert backend().host == "relay.test"
        reported = SafeExceptionReporterFilter().get_safe_settings()

    assert "hidden" not in repr(reported)


@pytest.mark.parametrize(
    "wrong",
    [
        {"url": "smtp://user:hidden@relay.test:x"},
        {"url": "hidden"},
        {"url": lambda: "smtp://user:hidden@relay.test?no=1"},
        {"host": "a b", "username": "user", "password": "hidden", "use_tls": True},
        {"host": "relay.test", "proxy": "socks5://user:hidden@"},
        {"host": "relay.test", "backups": ["smtp://user:hidden@relay.test:x"]},
        {"host": "relay.test", "password": "hidden", "use_tls": True, "use_ssl": True},
    ],
)
def test_no_frame_of_an_error_shows_a_password(wrong: Any) -> None:
    # Looked up late: the frame of the test itself has the password.
    def caught() -> traceback.TracebackException:
        try:
            with EmailBackend(**wrong)._mailer():
                pass
        except (ValueError, ImportError) as error:
            return traceback.TracebackException.from_exception(error, capture_locals=True)
        raise AssertionError("nothing is wrong")

    shown_error = caught()

    ours = [frame for frame in shown_error.stack if frame.filename != __file__]
    assert ours
    assert "hidden" not in str(shown_error) + repr([frame.locals for frame in ours])


def test_options_of_the_mailer_come_from_a_setting_and_from_arguments(backend: Backend) -> None:
    with given(SMTP_OPTIONS={"max_connections": 3, "alias": "shop", "rate": "5/s"}):
        options = shown(backend(rate="9/s"))

    assert (options["max_connections"], options["alias"], options["rate"]) == (3, "shop", "9/s")


def test_an_unknown_option_is_an_error_of_one_line(
    server: ScriptedServer, backend: Backend
) -> None:
    with (
        given(SMTP_OPTIONS={"max_conections": 3}),
        pytest.raises(TypeError, match="did you mean max_connections"),
    ):
        backend(server).send_messages([message()])


@pytest.mark.parametrize("wait", [True, False])
def test_whether_it_waits_is_a_setting(backend: Backend, wait: bool) -> None:
    with given(SMTP_WAIT=wait):
        assert backend().wait is wait
        assert backend(wait=not wait).wait is not wait


def test_an_email_by_a_url_that_records_is_recorded(backend: Backend) -> None:
    from pykka_smtp.testing import record_mails

    with record_mails() as outbox, given(SMTP_URL="smtp://relay.test"):
        assert backend().send_messages([message()]) == 1

        assert outbox[0].recipients == ("you@b.test",)


# TLS and logins


@pytest.mark.parametrize("which", ["use_tls", "use_ssl"])
def test_tls_is_verified_before_the_login(
    backend: Backend, certificates: Certificates, which: str
) -> None:
    login = {which: True, "username": "me", "password": "secret"}
    context = server_context(Tls(certificate=certificates.good))
    implicit = which == "use_ssl"

    with Server(logins({"me": "secret"}), tls=context, implicit_tls=implicit) as server:
        with pytest.raises(SendError, match=r"(?i)certificate"):
            backend(server, **login).send_messages([message()])

        trusting = certificates.trusting()
        assert backend(server, tls_context=trusting, **login).send_messages([message()]) == 1


def test_a_password_is_not_sent_without_tls(backend: Backend) -> None:
    login = {"username": "me", "password": "secret"}

    with Server(logins({"me": "secret"})) as server:
        with pytest.raises(SendError, match="TLS"):
            backend(server, **login).send_messages([message()])

        permitted = backend(server, allow_plaintext_auth=True, **login)
        assert permitted.send_messages([message()]) == 1


def test_a_client_certificate_is_read_anew_after_a_renewal(
    tmp_path: Path, certificates: Certificates, backend: Backend
) -> None:
    files = tmp_path / "cert", tmp_path / "key"
    files[0].write_bytes(certificates.client.chain.read_bytes())
    files[1].write_bytes(certificates.client.key.read_bytes())

    def made() -> Any:
        return shown(backend(use_tls=True, ssl_certfile=files[0], ssl_keyfile=files[1]))

    first = made()["tls_context"]
    again = made()["tls_context"]
    os.utime(files[0], ns=(1, 1))
    renewed = made()["tls_context"]

    assert first == again != renewed
    assert first.context().verify_mode == ssl.CERT_REQUIRED


def test_a_key_without_certificate_and_a_certificate_that_is_not_there_are_errors(
    backend: Backend,
) -> None:
    with pytest.raises(ValueError, match="ssl_keyfile"):
        shown(backend(use_tls=True, ssl_keyfile="key"))
    with pytest.raises(FileNotFoundError):
        shown(backend(use_tls=True, ssl_certfile="/none/at/all"))


# MAILERS


@ALIASED
def test_mailers_have_their_own_options(server: ScriptedServer, backend: Backend) -> None:
    from django.core.mail import mailers  # type: ignore[attr-defined,unused-ignore]

    path = "pykka_smtp.django.EmailBackend"
    ours = {"host": server.host, "port": server.port}
    several = {
        "default": {"BACKEND": path, "OPTIONS": ours | {"max_connections": 2}},
        "bulk": {"BACKEND": path, "OPTIONS": ours | {"wait": False, "rate": "100/s"}},
        "url": {"BACKEND": path, "OPTIONS": {"url": lambda: URL}},
    }
    with given(MAILERS=several, SMTP_URL="smtp://elsewhere.test", SMTP_WAIT=False):
        options = {name: shown(mailers[name]) for name in several}
        assert message().send(using="default") == 1
        assert message().send(using="bulk") == 1
        assert wait_until_done(PATIENCE)

    assert [options[name]["alias"] for name in several] == list(several)
    assert options["default"]["max_connections"] == 2
    assert "retry" in options["default"]
    assert "retry" not in options["bulk"]
    assert options["url"]["url"].reveal() == URL
    assert server.accepted == 2


@ALIASED
@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "OPTIONS must define 'host'."),
        ({"host": "a.test", "rat": "5/s"}, "Unknown options 'rat'."),
        ({"host": "a.test", "use_tls": True, "use_ssl": True}, "incompatible"),
        ({"url": "smtp://u:hidden@h:x"}, "smtp://u:***@h"),
    ],
)
def test_a_wrong_entry_of_mailers_is_djangos_own_error(options: Any, words: str) -> None:
    from django.core.mail import InvalidMailer  # type: ignore[attr-defined,unused-ignore]

    with pytest.raises(InvalidMailer, match=r"^MAILERS\['x'\]: ") as caught:
        EmailBackend(alias="x", **options)

    assert words in str(caught.value)
    assert "hidden" not in str(caught.value)


def test_settings_are_read_without_a_warning_where_others_have_had_it() -> None:
    with Server() as server, given(EMAIL_HOST=server.host, EMAIL_PORT=server.port):
        assert EmailBackend().host == server.host  # warnings are errors in these tests
    assert settings.configured
