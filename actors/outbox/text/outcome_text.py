"""Outcomes and attempts as JSON for a file, and back. Without secrets: an outcome has none."""

import functools
import json
from collections.abc import Sequence
from json.encoder import encode_basestring
from typing import Any

from ....signals.attempts import Attempts
from ....signals.outcome import Outcome, SendFailure, SendSuccess
from ....signals.send_mail import SendMail
from ....smtp.words.peer import Peer
from ....smtp.words.reply import Reply
from ....smtp.words.stage import Stage
from ....smtp.words.verdict import FailureKind, RecipientResult

_to_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
_quoted = encode_basestring  # what that encoder does with a text, without a look at its type
_PEER = ("host", "address", "port", "tls_version", "tls_cipher", "tls_verified")


def outcome_to_text(outcome: Outcome) -> str:
    """Return an outcome as JSON, without its email and alias."""
    if not isinstance(outcome, SendSuccess) or outcome.warnings or outcome.transcript:
        return _to_json(_outcome(outcome))
    # The same text, made of parts that have been there before: most outcomes differ in little.
    results: list[str] = []
    for result in outcome.recipients:
        if not result.accepted or result.peer is not None:
            return _to_json(_outcome(outcome))
        results.append(f"[{_quoted(result.address)},1,{_text_of_reply(result.reply)}]")
    doubts = f',"doubts":{outcome.doubts}' if outcome.doubts else ""
    return (
        f'{{"reply":{_text_of_reply(outcome.reply)},"peer":{_text_of_peer(outcome.peer)},'
        f'"elapsed":{round(outcome.elapsed, 6)!r},"attempts":{outcome.attempts}{doubts},'
        f'"recipients":[{",".join(results)}]}}'
    )


def outcome_of_text(text: str, mail: SendMail, alias: str) -> Outcome:
    """Return the outcome of its text.

    Args:
        text: what `outcome_to_text` returned.
        mail: its email.
        alias: its alias.

    Raises:
        ValueError: the text is none of an outcome.
    """
    try:
        return _outcome_of(json.loads(text), mail, alias)
    except (ValueError, TypeError, KeyError, IndexError) as error:
        raise ValueError(f"the file has an outcome that cannot be read: {error!r}") from error


def attempts_to_text(attempts: Attempts, left: Sequence[str]) -> str:
    """Return attempts as JSON, with the recipients of the next one."""
    last, success = attempts.last, attempts.success
    assert last is not None
    return _to_json(
        {
            "left": left,
            "count": attempts.count,
            "last": _outcome(last, brief=True),
            "success": None if success is None else _outcome(success, brief=True),
            "results": [_result(result) for result in attempts.results],
            "elapsed": round(attempts.elapsed, 6),
            "warnings": attempts.warnings,
        }
    )


def attempts_of_text(text: str, mail: SendMail, alias: str) -> tuple[Attempts, tuple[str, ...]]:
    """Return the attempts of their text, and the recipients of the next one.

    Raises:
        ValueError: the text is none of attempts.
    """
    try:
        made: dict[str, Any] = json.loads(text)
        success = made["success"]
        first = None if success is None else _outcome_of(success, mail, alias)
        attempts = Attempts.restored(
            count=made["count"],
            last=_outcome_of(made["last"], mail, alias),
            success=first if isinstance(first, SendSuccess) else None,
            results=[_result_of(result) for result in made["results"]],
            elapsed=made["elapsed"],
            warnings=made["warnings"],
        )
        return attempts, tuple(made["left"])
    except (ValueError, TypeError, KeyError, IndexError) as error:
        raise ValueError(f"the file has attempts that cannot be read: {error!r}") from error


def _outcome(outcome: Outcome, *, brief: bool = False) -> dict[str, Any]:
    made: dict[str, Any] = {
        "reply": _reply(outcome.reply),
        "peer": _peer(outcome.peer),
        "elapsed": round(outcome.elapsed, 6),
        "attempts": outcome.attempts,
    }
    if outcome.doubts:
        made["doubts"] = outcome.doubts
    if not brief:
        made["recipients"] = [_result(result) for result in outcome.recipients]
        if outcome.warnings:
            made["warnings"] = outcome.warnings
        if outcome.transcript:
            made["transcript"] = outcome.transcript
    if isinstance(outcome, SendFailure):
        made |= {
            "kind": int(outcome.kind),
            "stage": outcome.stage.value,
            "detail": outcome.detail,
            "retryable": outcome.retryable,
            "maybe": outcome.maybe_accepted,
            "operation": outcome.operation,
            "errno": outcome.errno,
        }
    return made


def _outcome_of(made: dict[str, Any], mail: SendMail, alias: str) -> Outcome:
    common: dict[str, Any] = {
        "mail": mail,
        "alias": alias,
        "context": mail.context,
        "recipients": tuple(_result_of(result) for result in made.get("recipients", ())),
        "peer": _peer_of(made["peer"]),
        "elapsed": made["elapsed"],
        "transcript": tuple(made.get("transcript", ())),
        "warnings": tuple(made.get("warnings", ())),
        "attempts": made["attempts"],
        "doubts": made.get("doubts", 0),
    }
    reply = _reply_of(made["reply"])
    if "kind" not in made:
        assert reply is not None
        return SendSuccess(reply=reply, **common)
    return SendFailure(
        reply=reply,
        kind=FailureKind(made["kind"]),
        stage=Stage(made["stage"]),
        detail=made["detail"],
        retryable=made["retryable"],
        maybe_accepted=made["maybe"],
        operation=made["operation"],
        errno=made["errno"],
        **common,
    )


def _result(result: RecipientResult) -> list[Any]:
    if result.accepted and result.peer is None:
        return [result.address, 1, _reply(result.reply)]
    return [
        result.address,
        int(result.accepted),
        _reply(result.reply),
        int(result.maybe_accepted),
        int(result.retryable),
        result.detail,
        _peer(result.peer),
    ]


def _result_of(made: list[Any]) -> RecipientResult:
    address, accepted, reply, *rest = made
    maybe_accepted, retryable, detail, peer = rest or (0, 0, "", None)
    return RecipientResult(
        address=address,
        accepted=bool(accepted),
        reply=_reply_of(reply),
        maybe_accepted=bool(maybe_accepted),
        retryable=bool(retryable),
        detail=detail,
        peer=_peer_of(peer),
    )


def _reply(reply: Reply | None) -> list[Any] | None:
    return None if reply is None else [reply.code, *reply.lines]


def _reply_of(made: list[Any] | None) -> Reply | None:
    return None if made is None else Reply(made[0], tuple(made[1:]))


def _peer(peer: Peer | None) -> list[Any] | None:
    return None if peer is None else [getattr(peer, name) for name in _PEER]


def _peer_of(made: list[Any] | None) -> Peer | None:
    return None if made is None else Peer(**dict(zip(_PEER, made, strict=True)))


@functools.lru_cache(maxsize=256)
def _text_of_peer(peer: Peer | None) -> str:
    return _to_json(_peer(peer))


def _text_of_reply(reply: Reply | None) -> str:
    if reply is None:
        return "null"
    lines = reply.lines
    if len(lines) == 1:
        return f"[{reply.code},{_quoted(lines[0])}]"
    return f"[{reply.code},{','.join(map(_quoted, lines))}]"
