"""The real servers in tests/servers beyond Postfix and smtp-sink, tried with smtplib.

What they offer here is what tests of the client may count on: TLS, logins, verdicts, mails.
"""

import base64
import contextlib
import dataclasses
import hashlib
import hmac
import os
import smtplib
import socket
import ssl
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from servers import listening
from servers.accounts import EXPIRED_TOKEN, PASSWORD, TOKEN, USER, bearer_token
from servers.aiosmtpd_server import AiosmtpdServer
from servers.certificates import NAMES, Certificates, Tls
from servers.delivered import MARKER, without_trace
from servers.dovecot_lmtp import DovecotLmtp
from servers.dovecot_submission import DovecotSubmission
from servers.exim import EximSmtpd
from servers.listening import listening_port
from servers.matrix import Server, each
from servers.node_smtp_server import NodeSmtpServer
from servers.opensmtpd import OpenSmtpd
from servers.ports import reserved_port
from servers.postfix import PostfixSmtpd
from servers.scripted import ReceivedMail, ScriptedServer, polite

BODY = b"Subject: dots\r\n\r\n.\r\n..b\r\n\xff\r\n.end"
REPLIES = {"no@d.test": "550 5.1.1 who?", "later@d.test": "451 4.2.0 greylisted"}


Start = Callable[..., contextlib.AbstractContextManager[Any]]


def bare_postfix(**kwargs: Any) -> PostfixSmtpd:
    return PostfixSmtpd(keep=True, trace=False, **kwargs)


SERVERS: dict[str, Start] = {
    "Postfix": bare_postfix,
    "Exim": EximSmtpd,
    "OpenSMTPD": OpenSmtpd,
    "Dovecot": DovecotSubmission,
    "smtp-server": NodeSmtpServer,
    "aiosmtpd": AiosmtpdServer,
}
MECHANISMS: dict[str, tuple[str, ...]] = {
    "Postfix": (
        *("PLAIN", "LOGIN", "CRAM-MD5", "SCRAM-SHA-1", "SCRAM-SHA-256"),
        *("XOAUTH2", "OAUTHBEARER"),
    ),
    "Exim": ("PLAIN", "LOGIN", "CRAM-MD5", "XOAUTH2", "OAUTHBEARER", "EXTERNAL"),
    "OpenSMTPD": ("PLAIN", "LOGIN"),
    "Dovecot": (
        *("PLAIN", "LOGIN", "CRAM-MD5", "SCRAM-SHA-1", "SCRAM-SHA-256"),
        *("XOAUTH2", "OAUTHBEARER", "EXTERNAL"),
    ),
    "smtp-server": ("PLAIN", "LOGIN", "CRAM-MD5", "XOAUTH2"),
    "aiosmtpd": ("PLAIN", "LOGIN"),
}
ALL_BUT_DOVECOT = [name for name in SERVERS if name != "Dovecot"]
"""Those that take mails from who has not logged in."""

EARLY = ("Dovecot", "smtp-server")
"""Those that offer AUTH in clear though they have TLS: Dovecot for what tells no password."""

every_server = pytest.mark.parametrize("name", each(SERVERS))
every_open_server = pytest.mark.parametrize("name", each(ALL_BUT_DOVECOT))
both_ways = pytest.mark.parametrize("implicit", [False, True], ids=["STARTTLS", "implicit TLS"])
real = pytest.mark.real
heavy = pytest.mark.servers


@contextlib.contextmanager
def client(server: Server, context: ssl.SSLContext | None = None) -> Iterator[smtplib.SMTP]:
    """smtplib, which has said EHLO; with a context, by STARTTLS if that is offered."""
    connection: smtplib.SMTP
    if context is None or not getattr(server, "implicit", False):
        connection = smtplib.SMTP(server.host, server.port, "c.test", timeout=10)
    else:
        connection = smtplib.SMTP_SSL(
            server.host, server.port, "c.test", timeout=10, context=context
        )
    try:
        connection.ehlo()
        if context is not None and not isinstance(connection, smtplib.SMTP_SSL):
            connection.starttls(context=context)
            connection.ehlo()
        yield connection
    finally:
        connection.close()


@contextlib.contextmanager
def started(name: str, *, implicit: bool = False, **kwargs: Any) -> Iterator[Any]:
    with SERVERS[name](**kwargs) as server:
        server.implicit = implicit
        yield server


def delivered(server: Server, count: int = 1) -> tuple[ReceivedMail, ...]:
    server.wait_for(lambda: len(server.mails) >= count)
    return server.mails


# Logging in, as far as smtplib does not know how


def log_in(connection: smtplib.SMTP, mechanism: str, password: str) -> int:
    """Log in, and return the code of the last reply."""
    match mechanism:
        case "PLAIN" | "LOGIN" | "CRAM-MD5":
            connection.user, connection.password = USER, password
            name = mechanism.lower().replace("-", "_")
            with contextlib.suppress(smtplib.SMTPAuthenticationError):
                return connection.auth(mechanism, getattr(connection, f"auth_{name}"))[0]
            return 535
        case "SCRAM-SHA-1" | "SCRAM-SHA-256":
            return scram(connection, mechanism, password)
        case "XOAUTH2":
            token = TOKEN if password == PASSWORD else EXPIRED_TOKEN
            return say(connection, mechanism, f"user={USER}\1auth=Bearer {token}\1\1")
        case "OAUTHBEARER":
            token = TOKEN if password == PASSWORD else TOKEN[:-2]
            return say(connection, mechanism, f"n,a={USER},\1auth=Bearer {token}\1\1")
        case _:
            return say(connection, mechanism, USER)


def say(connection: smtplib.SMTP, mechanism: str, words: str) -> int:
    """Say it with the AUTH command; a challenge is what is wrong with it, and gets no answer."""
    code, _ = connection.docmd("AUTH", f"{mechanism} {encoded(words)}")
    return connection.docmd("")[0] if code == 334 else code


def scram(connection: smtplib.SMTP, mechanism: str, password: str) -> int:
    """RFC 5802 §3, without a look at the server's signature if there is none."""
    digest = mechanism.removeprefix("SCRAM-").replace("-", "").lower()
    first = f"n={USER},r=nonce"
    code, challenge = connection.docmd("AUTH", f"{mechanism} {encoded('n,,' + first)}")
    assert code == 334
    said = base64.b64decode(challenge).decode()
    fields = dict(field.split("=", 1) for field in said.split(","))
    salt, rounds = base64.b64decode(fields["s"]), int(fields["i"])
    salted = hashlib.pbkdf2_hmac(digest, password.encode(), salt, rounds)
    key = hmac.digest(salted, b"Client Key", digest)
    final = f"c=biws,r={fields['r']}"
    text = f"{first},{said},{final}".encode()
    signature = hmac.digest(hashlib.new(digest, key).digest(), text, digest)
    proof = bytes(a ^ b for a, b in zip(key, signature, strict=True))
    proof_text = base64.b64encode(proof).decode()
    code, answer = connection.docmd(encoded(f"{final},p={proof_text}"))
    if code == 334:
        server_key = hmac.digest(salted, b"Server Key", digest)
        expected = base64.b64encode(hmac.digest(server_key, text, digest))
        assert base64.b64decode(answer) == b"v=" + expected
        code, _ = connection.docmd("")
    return code


def encoded(words: str) -> str:
    return base64.b64encode(words.encode()).decode()


# Mails and verdicts


@real
@every_open_server
def test_a_server_stores_the_octets_that_came(name: str) -> None:
    with started(name) as server, client(server) as connection:
        assert connection.sendmail("a@b.test", ["c@d.test", "e@d.test"], BODY) == {}

        [mail] = delivered(server)

    assert mail.data == BODY + b"\r\n"
    assert mail.sender == "a@b.test"
    assert sorted(mail.recipients) == ["c@d.test", "e@d.test"]


@real
@every_open_server
def test_a_server_refuses_one_recipient_for_good_and_one_for_now(name: str) -> None:
    with started(name, replies=REPLIES) as server, client(server) as connection:
        refused = connection.sendmail("a@b.test", [*REPLIES, "c@d.test"], BODY)
        [mail] = delivered(server)

    assert {who: code for who, (code, _) in refused.items()} == {
        "no@d.test": 550,
        "later@d.test": 451,
    }
    assert b"who?" in refused["no@d.test"][1]
    assert mail.recipients == ("c@d.test",)


@real
@every_open_server
@pytest.mark.parametrize("code", [554, 451])
def test_a_server_refuses_a_mail_at_the_dot(name: str, code: int) -> None:
    replies = {".": f"{code} {code // 100}.6.0 not this one"}
    with started(name, replies=replies) as server, client(server) as connection:
        with pytest.raises(smtplib.SMTPDataError, match="not this one") as caught:
            connection.sendmail("a@b.test", ["c@d.test"], BODY)

        assert caught.value.smtp_code == code
        assert all(not mail.accepted for mail in server.mails)


@real
@pytest.mark.parametrize("name", each(["Postfix", "Exim", "smtp-server", "aiosmtpd"]))
def test_a_server_refuses_a_mail_for_its_text(name: str) -> None:
    with started(name) as server, client(server) as connection:
        with pytest.raises(smtplib.SMTPDataError, match="refused"):
            connection.sendmail("a@b.test", ["c@d.test"], b"\r\n" + MARKER.encode())
        connection.sendmail("a@b.test", ["c@d.test"], BODY)

        delivered(server)
        accepted = [mail.data for mail in server.mails if mail.accepted]
        assert accepted == [BODY + b"\r\n"]


@real
@every_open_server
def test_a_server_has_a_size_limit(name: str) -> None:
    option = "data_size_limit" if name == "aiosmtpd" else "size_limit"
    with SERVERS[name](**{option: 3000}) as server, client(server) as connection:
        assert connection.esmtp_features["size"] == "3000"
        # Without the SIZE parameter, which would have it refused at MAIL.
        connection.mail("a@b.test")
        connection.rcpt("c@d.test")
        with contextlib.suppress(smtplib.SMTPServerDisconnected):
            code, _ = connection.data(b"\r\n" + b"x\r\n" * 2000)
            assert code in {552, 554}


@real
@every_open_server
def test_a_server_takes_a_large_mail(name: str) -> None:
    data = b"Subject: large\r\n\r\n" + (b"." * 77 + b"\r\n") * 40_000
    with started(name) as server, client(server) as connection:
        connection.sendmail("a@b.test", ["c@d.test"], data)
        [mail] = delivered(server)

    assert mail.data == data


@real
@pytest.mark.parametrize("name", each(["Exim", "smtp-server", "Postfix"]))
@pytest.mark.parametrize("keyword", ["PIPELINING", "8BITMIME", "SMTPUTF8"])
def test_a_server_withholds_what_it_is_told_to(name: str, keyword: str) -> None:
    with started(name) as server, client(server) as connection:
        assert connection.has_extn(keyword)
    with started(name, withhold=[keyword]) as server, client(server) as connection:
        assert not connection.has_extn(keyword)


@real
def test_exim_takes_chunks_unless_told_otherwise(exim_smtpd: Callable[..., EximSmtpd]) -> None:
    server = exim_smtpd()
    with client(server) as connection:
        connection.mail("a@b.test")
        connection.rcpt("c@d.test")
        connection.send(b"BDAT 3\r\n\r\n.BDAT 4 LAST\r\n\r\n.\n")
        assert [connection.getreply()[0] for _ in range(2)] == [250, 250]
    with client(exim_smtpd(withhold=["CHUNKING"])) as connection:
        assert not connection.has_extn("CHUNKING")
    assert delivered(server)[0].data.startswith(b"\r\n.")


@real
def test_opensmtpd_takes_a_dot_between_bare_line_feeds_for_the_end(
    opensmtpd: Callable[..., OpenSmtpd],
) -> None:
    server = opensmtpd()
    with client(server) as connection:
        connection.mail("a@b.test")
        connection.rcpt("c@d.test")
        connection.docmd("DATA")
        connection.send(b"Subject: x\r\n\r\nbody\n.\n")
        assert connection.getreply()[0] == 250
    assert delivered(server)[0].data == b"Subject: x\r\n\r\nbody\r\n"


@real
@heavy
@pytest.mark.parametrize(
    ("make", "keyword"),
    [(EximSmtpd, "SIZE"), (OpenSmtpd, "8BITMIME"), (NodeSmtpServer, "CHUNKING")],
)
def test_what_cannot_be_withheld_is_an_error(make: Callable[..., object], keyword: str) -> None:
    with pytest.raises(ValueError, match=rf"cannot withhold.*{keyword}"):
        make(withhold=[keyword])


# TLS


@real
@every_server
@both_ways
def test_a_server_speaks_tls_with_the_certificate_given(
    name: str, certificates: Certificates, *, implicit: bool
) -> None:
    tls = Tls(certificate=certificates.good, implicit=implicit)
    with (
        started(name, implicit=implicit, tls=tls) as server,
        client(server, certificates.trusting()) as connection,
    ):
        assert isinstance(connection.sock, ssl.SSLSocket)
        assert connection.sock.version() in {"TLSv1.2", "TLSv1.3"}
        shown = connection.sock.getpeercert(binary_form=True)
        if name != "Dovecot":
            connection.sendmail("a@b.test", ["c@d.test"], BODY)
            delivered(server)

    expected = (
        certificates.good.chain.read_text().split("-----END")[0] + "-----END CERTIFICATE-----"
    )
    assert shown == ssl.PEM_cert_to_DER_cert(expected)


@real
@every_server
def test_a_server_without_tls_offers_none(name: str) -> None:
    with started(name) as server, client(server) as connection:
        assert not connection.has_extn("STARTTLS")


@pytest.mark.parametrize(
    ("which", "reason"),
    [
        ("wrong_host", "IP address mismatch"),
        ("expired", "certificate has expired"),
        ("unknown_ca", "unable to get (local )?issuer certificate"),
    ],
)
@both_ways
def test_a_certificate_that_is_not_good_is_refused_by_a_client_that_looks(
    which: str, reason: str, certificates: Certificates, *, implicit: bool
) -> None:
    tls = Tls(certificate=getattr(certificates, which), implicit=implicit)
    with (
        started("aiosmtpd", implicit=implicit, tls=tls) as server,
        pytest.raises(ssl.SSLCertVerificationError, match=reason),
        client(server, certificates.trusting()),
    ):
        pass


@pytest.mark.parametrize("host", NAMES)
def test_a_good_certificate_is_good_for_all_its_names(
    host: str, certificates: Certificates
) -> None:
    tls = Tls(certificate=certificates.good, implicit=True)
    with (
        AiosmtpdServer(tls=tls) as server,
        socket.create_connection((server.host, server.port), timeout=5) as plain,
        certificates.trusting().wrap_socket(plain, server_hostname=host) as secured,
    ):
        assert secured.recv(3) == b"220"


@real
@every_server
@both_ways
def test_a_server_that_requires_a_certificate_rejects_clients_without(
    name: str, certificates: Certificates, *, implicit: bool
) -> None:
    tls = Tls(
        certificate=certificates.good,
        implicit=implicit,
        client_ca=certificates.ca,
        client_required=True,
    )
    # Dovecot lets all shake hands, and refuses those without a certificate at AUTH.
    auth = {"auth": ["PLAIN"]} if name == "Dovecot" else {}
    with started(name, implicit=implicit, tls=tls, **auth) as server:
        with client(server, certificates.trusting(certificates.client)) as connection:
            if auth:
                assert log_in(connection, "PLAIN", PASSWORD) == 235
            connection.sendmail("a@b.test", ["c@d.test"], BODY)
        with (
            pytest.raises((OSError, smtplib.SMTPException)),
            client(server, certificates.trusting()) as connection,
        ):
            connection.sendmail("a@b.test", ["c@d.test"], BODY)
        with (
            pytest.raises((OSError, smtplib.SMTPException)),
            client(server, certificates.trusting(certificates.unknown_client)) as connection,
        ):
            connection.sendmail("a@b.test", ["c@d.test"], BODY)

        assert len(delivered(server)) == 1


# Logins


@real
@every_server
def test_a_server_knows_its_user_by_every_mechanism(name: str, certificates: Certificates) -> None:
    tls = Tls(certificate=certificates.good, client_ca=certificates.ca)
    if name == "OpenSMTPD":
        tls = dataclasses.replace(tls, client_ca=None)
    offered = MECHANISMS[name]
    with started(name, tls=tls, auth=offered) as server:
        with client(server) as connection:
            # Some offer before TLS what they take under TLS only.
            assert name in EARLY or "auth" not in connection.esmtp_features
            assert log_in(connection, "PLAIN", PASSWORD) >= 500
            assert refused_without_login(connection)
        for mechanism in offered:
            shown = certificates.client if mechanism == "EXTERNAL" else None
            with client(server, certificates.trusting(shown)) as connection:
                assert set(connection.esmtp_features["auth"].split()) >= set(offered) - {"EXTERNAL"}
                assert log_in(connection, mechanism, PASSWORD) == 235, mechanism
                connection.sendmail(f"{mechanism}@b.test", ["c@d.test"], BODY)
        mails = delivered(server, len(offered))

    assert sorted(str(mail.sender) for mail in mails) == sorted(f"{m}@b.test" for m in offered)
    assert {mail.data for mail in mails} == {BODY + b"\r\n"}


@real
@every_server
def test_a_server_refuses_a_wrong_password(name: str, certificates: Certificates) -> None:
    tls = Tls(certificate=certificates.good)
    offered = [mechanism for mechanism in MECHANISMS[name] if mechanism != "EXTERNAL"]
    with started(name, tls=tls, auth=offered) as server:
        for mechanism in offered:
            with client(server, certificates.trusting()) as connection:
                assert log_in(connection, mechanism, "wrong") == 535, mechanism
                assert refused_without_login(connection)


@real
@pytest.mark.parametrize("name", each([name for name in SERVERS if name != "OpenSMTPD"]))
def test_a_server_takes_logins_in_clear_where_it_has_no_tls(name: str) -> None:
    with started(name, auth=["PLAIN"]) as server, client(server) as connection:
        assert log_in(connection, "PLAIN", PASSWORD) == 235
        connection.sendmail("a@b.test", ["c@d.test"], BODY)
        delivered(server)


@real
@pytest.mark.parametrize("name", each(["Postfix", "Exim", "Dovecot", "smtp-server", "aiosmtpd"]))
def test_a_password_may_hold_any_text(name: str) -> None:
    users = {"j\u00fcrgen": ' p\u00e4ss:w\u00f6rd "\\{$}# '.strip(), "other": "x"}
    plain = "\0".join(["", "j\u00fcrgen", users["j\u00fcrgen"]])
    with started(name, auth=["PLAIN"], users=users) as server, client(server) as connection:
        assert connection.docmd("AUTH", f"PLAIN {encoded(plain)}")[0] == 235


@real
@pytest.mark.parametrize("name", each(["Exim", "Dovecot", "smtp-server", "aiosmtpd", "OpenSMTPD"]))
def test_a_mechanism_that_a_server_does_not_know_is_an_error(name: str) -> None:
    with pytest.raises(ValueError, match="offer"):
        SERVERS[name](auth=["SCRAM-SHA-512"])


def refused_without_login(connection: smtplib.SMTP) -> bool:
    codes = [connection.docmd("MAIL FROM:<a@b.test>")[0], connection.docmd("RCPT TO:<c@d.test>")[0]]
    return max(codes) >= 500


def test_a_token_tells_whose_it_is_and_until_when() -> None:
    head, claims, signature = bearer_token("me", expires=7).split(".")

    assert base64.urlsafe_b64decode(head + "==").startswith(b'{"alg": "HS256"')
    assert base64.urlsafe_b64decode(claims + "==") == b'{"sub": "me", "iat": 1, "exp": 7}'
    assert len(base64.urlsafe_b64decode(signature + "=")) == 32


# LMTP

VERDICTS = {"user@mx.test": 250, "full@mx.test": 552, "other@mx.test": 250, "broken@mx.test": 451}


def send_by_lmtp(connection: smtplib.LMTP, recipients: Sequence[str]) -> list[int]:
    """Send, and return the verdicts, for the first and the others."""
    connection.ehlo_or_helo_if_needed()
    connection.mail("a@b.test")
    for recipient in recipients:
        assert connection.rcpt(recipient)[0] == 250
    codes = [connection.data(BODY)[0]]
    return codes + [connection.getreply()[0] for _ in recipients[1:]]


@real
@pytest.mark.parametrize("way", ["TCP", "Unix socket"])
def test_dovecot_has_a_verdict_for_each_recipient(
    way: str, dovecot_lmtp: Callable[..., DovecotLmtp]
) -> None:
    server = dovecot_lmtp()
    where = (server.host, server.port) if way == "TCP" else (str(server.socket), 0)

    with contextlib.closing(smtplib.LMTP(*where, local_hostname="c.test", timeout=10)) as lmtp:
        assert send_by_lmtp(lmtp, list(VERDICTS)) == list(VERDICTS.values())
        lmtp.mail("a@b.test")
        assert lmtp.rcpt("nobody@mx.test")[0] == 550

    server.wait_for(lambda: len(server.mails) == 2)
    assert {mail.recipients for mail in server.mails} == {("user@mx.test",), ("other@mx.test",)}
    assert {mail.sender for mail in server.mails} == {"a@b.test"}
    assert {mail.data for mail in server.mails} == {BODY + b"\r\n"}


@real
def test_dovecot_speaks_lmtp_under_tls(
    dovecot_lmtp: Callable[..., DovecotLmtp], certificates: Certificates
) -> None:
    server = dovecot_lmtp(tls=Tls(certificate=certificates.good))

    with contextlib.closing(smtplib.LMTP(server.host, server.port, "c.test")) as lmtp:
        lmtp.starttls(context=certificates.trusting())
        assert send_by_lmtp(lmtp, ["user@mx.test"]) == [250]

    assert len(server.mails) == 1


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(AiosmtpdServer, id="aiosmtpd"),
        pytest.param(NodeSmtpServer, id="node", marks=[real, heavy]),
    ],
)
def test_other_servers_speak_lmtp_too(make: Start) -> None:
    replies = {"no@d.test": "550 5.1.1 who?", ". late@d.test": "452 4.2.2 full"}
    with make(lmtp=True, replies=replies) as server:
        with contextlib.closing(smtplib.LMTP(server.host, server.port, "c.test")) as lmtp:
            assert send_by_lmtp(lmtp, ["c@d.test", "late@d.test"]) == [250, 452]
            lmtp.mail("a@b.test")
            assert lmtp.rcpt("no@d.test")[0] == 550
        assert [mail.data for mail in server.mails] == [BODY + b"\r\n"]


# The scripted server


def test_the_polite_server_has_a_verdict_for_each_recipient_on_a_unix_socket(
    tmp_path: Path, scripted_server: Callable[..., ScriptedServer]
) -> None:
    path = tmp_path / "lmtp"
    server = scripted_server(polite(replies={". late@d.test": "452 4.2.2 full"}), path=path)

    with contextlib.closing(smtplib.LMTP(str(path), local_hostname="c.test")) as lmtp:
        assert send_by_lmtp(lmtp, ["c@d.test", "late@d.test"]) == [250, 452]

    assert server.mails[0].verdicts == [250, 452]
    assert server.port == 0


@both_ways
def test_the_polite_server_speaks_tls(
    scripted_server: Callable[..., ScriptedServer], certificates: Certificates, *, implicit: bool
) -> None:
    script = polite("STARTTLS", implicit_tls=implicit)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates.good.chain, certificates.good.key)
    server: Any = scripted_server(script, context=context)
    server.implicit = implicit

    with client(server, certificates.trusting()) as connection:
        assert not connection.has_extn("STARTTLS")
        connection.sendmail("a@b.test", ["c@d.test"], BODY)

    assert server.accepted == 1
    assert server.sessions[0].tls == "TLSv1.3"


# Starting, failing, leaving nothing


@real
@heavy
def test_a_server_that_does_not_start_tells_why() -> None:
    with pytest.raises(RuntimeError, match=r"(?s)ended at once.*no_such_option"):
        EximSmtpd(settings={"no_such_option": "1"}).__enter__()


@real
@pytest.mark.parametrize("name", each(["Exim", "OpenSMTPD", "smtp-server"]))
def test_waiting_in_vain_shows_the_servers_log(name: str) -> None:
    with (
        started(name) as server,
        pytest.raises(AssertionError, match=r"(?s)in vain.*log:\n.*[a-z]"),
    ):
        server.wait_for(lambda: server.mails, timeout=0.01)


@real
@heavy
def test_a_server_leaves_no_folder_and_no_process() -> None:
    for server in OpenSmtpd(), EximSmtpd(), DovecotLmtp():
        with server:
            root = server._root.path
            assert root.exists()
        assert not root.exists()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((server.host, server.port), timeout=5)


@pytest.mark.parametrize("make", [OpenSmtpd, EximSmtpd, DovecotLmtp, NodeSmtpServer])
def test_a_server_that_was_not_fetched_skips_here_and_fails_in_ci(
    make: Callable[[], object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYKKA_SMTP_SERVERS", str(tmp_path))
    monkeypatch.delenv("PYKKA_SMTP_REQUIRE_SERVERS", raising=False)
    with pytest.raises(pytest.skip.Exception, match=r"install\.sh|needs root"):
        make()
    monkeypatch.setenv("PYKKA_SMTP_REQUIRE_SERVERS", "1")
    with pytest.raises(pytest.fail.Exception, match=r"install\.sh|needs root"):
        make()


def test_a_reserved_port_is_for_one_server_only() -> None:
    with reserved_port("127.0.0.1") as port:
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port), timeout=5)
        with socket.create_server(("127.0.0.1", port)), pytest.raises(OSError, match="in use"):
            socket.create_server(("127.0.0.1", port))


@pytest.mark.parametrize("slowly", [False, True])
def test_the_port_of_a_process_is_found(*, slowly: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_list() -> dict[int, int]:
        raise OSError

    if slowly:
        monkeypatch.setattr(listening, "_listening", no_list)
    assert listening_port(os.getpid()) == 0
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert listening_port(os.getpid()) == server.getsockname()[1]
    assert listening_port(os.getpid()) == 0
    assert listening_port(2**22 - 1) == 0


@pytest.mark.parametrize(
    ("data", "left"),
    [
        (b"Received: a\r\n\tb\r\nSubject: x\r\n\r\n", b"Subject: x\r\n\r\n"),
        (b"Received: ours\r\nReceived: theirs\r\n\r\n", b"Received: theirs\r\n\r\n"),
        (b"Subject: x\r\nReceived: theirs\r\n\r\n", b"Subject: x\r\nReceived: theirs\r\n\r\n"),
        (b"no header\r\n", b"no header\r\n"),
        (b"", b""),
    ],
)
def test_only_what_the_server_put_on_top_is_cut_off(data: bytes, left: bytes) -> None:
    mail = ReceivedMail(sender=None, recipients=(), data=data, raw=b"")

    assert without_trace(mail, "received").data == left
