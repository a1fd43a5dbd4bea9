"""Why there is no TLS, in words that help: what failed, with whom, and what to do about it."""

import ssl
from pathlib import Path

from .channel import TlsChannel
from .tls import Tls

# Alerts about a client's certificate (RFC 8446 §6.2), as OpenSSL names them.
_ABOUT_OURS = (
    "UNKNOWN_CA",
    "BAD_CERTIFICATE",
    "UNSUPPORTED_CERTIFICATE",
    "CERTIFICATE_REVOKED",
    "CERTIFICATE_EXPIRED",
    "CERTIFICATE_UNKNOWN",
)
CERTIFICATE_FAILED = "certificate verification failed for"
_NO_ISSUER = frozenset({2, 19, 20, 21})
"""X509_V_ERR_… of OpenSSL: nobody known has signed it."""
_NAMES = {ssl.TLSVersion.TLSv1_2: "TLS before 1.2", ssl.TLSVersion.TLSv1_3: "TLS before 1.3"}


def is_alert(error: ssl.SSLError) -> bool:
    """Whether it is the server that ended TLS, and said so (RFC 8446 §6.2)."""
    reason = error.reason or ""
    return "_ALERT_" in reason or reason.startswith("TLSV1_UNRECOGNIZED_NAME")


def failure_of(error: ssl.SSLError, channel: TlsChannel, tls: Tls, server: str) -> str:
    """Say in one line why there is no TLS with a server.

    Args:
        error: what broke the channel.
        channel: the channel.
        tls: how TLS was to be done.
        server: the server as people know it.
    """
    if isinstance(error, ssl.SSLCertVerificationError):
        text = f"{CERTIFICATE_FAILED} {server}: {error.verify_message or error.reason}"
        if error.verify_code in _NO_ISSUER and not _trusts_anybody(tls):
            text += f"; {_WHOM_TO_TRUST}"
        return text
    reason = error.reason or str(error)
    cure = _cure(reason, channel, tls)
    return f"TLS handshake with {server} failed: {reason}{f'; {cure}' if cure else ''}"


_WHOM_TO_TRUST = (
    "this machine has no certificate authorities to trust: install its package ca-certificates,"
    " set SSL_CERT_FILE, or give a tls_context"
)


def _cure(reason: str, channel: TlsChannel, tls: Tls) -> str:
    if channel.met_clear_text:
        if tls.is_implicit:
            return "the server speaks no TLS at once; use tls='starttls'"
        return "what it sent is not TLS"
    if reason.endswith("CERTIFICATE_REQUIRED"):
        return "the server wants a client certificate; give one in tls_context"
    if any(reason.endswith(name) for name in _ABOUT_OURS):
        if channel.gave_certificate:
            return "the server does not accept our certificate, which is in tls_context"
        return "perhaps the server wants a client certificate; give one in tls_context"
    if reason.endswith("ALERT_HANDSHAKE_FAILURE"):
        if channel.gave_certificate:
            return "perhaps the server does not accept our certificate, which is in tls_context"
        return (
            "perhaps the server wants a client certificate (give one in tls_context),"
            " or knows no cipher of ours"
        )
    if reason in ("TLSV1_ALERT_PROTOCOL_VERSION", "UNSUPPORTED_PROTOCOL"):
        old = _NAMES.get(tls.context.minimum_version)
        return f"the server knows only {old}" if old else "the server knows no TLS that we know"
    return ""


def _trusts_anybody(tls: Tls) -> bool:
    """Whether there is an authority by which a certificate could be good."""
    if tls.context.cert_store_stats()["x509_ca"]:
        return True
    # A folder of authorities is looked into only when one of them is asked for.
    paths = ssl.get_default_verify_paths()
    try:
        return bool(paths.capath) and any(Path(paths.capath).iterdir())
    except OSError:
        return False
