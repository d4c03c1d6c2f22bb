"""`Idempotency-Key`: a creating call that is sent twice creates once, and is answered twice the same."""

import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.db import IntegrityError, transaction
from django.http import HttpRequest, JsonResponse

from imagineer.errors import Conflict, FieldError, Invalid
from imagineer.models import IdempotencyKey

HEADER = "Idempotency-Key"
_KEY = re.compile(r"[\x21-\x7e]{1,200}\Z")


@dataclass(frozen=True)
class Answer:
    """`body` is ready for JSON."""

    status: int
    body: Any
    location: str = ""


def answer_once(request: HttpRequest, create: Callable[[], Answer]) -> JsonResponse:
    """Calls `create` and keeps its answer with the key, both or neither; a refusal leaves the key unused.

    Two calls at once: the second waits for the first one's transaction and then repeats its answer.
    """
    key = _key_of(request)
    if key is None:
        return _response(create())
    kept = _kept(request, key)
    if kept is None:
        try:
            return _response(_create_and_keep(request, key, create))
        except _TakenMeanwhile:
            kept = _kept(request, key)
            assert kept is not None
    return _repeat(request, kept, _digest(request))


def answer_again(request: HttpRequest, digest_of: Callable[[], str], create: Callable[[], Answer]) -> JsonResponse:
    """For work that is too long for a transaction, and harmless to do twice; `digest_of` tells bodies apart."""
    key = _key_of(request)
    if key is None:
        return _response(create())
    user: Any = request.user
    kept, digest = _kept(request, key), digest_of()
    if kept is None:
        answer = create()
        named = {"body_sha256": digest, "status": answer.status, "location": answer.location, "answer": answer.body}
        kept, is_new = IdempotencyKey.objects.get_or_create(
            user=user, key=key, defaults={"path": request.path, **named}
        )
        if is_new:
            return _response(answer)
    return _repeat(request, kept, digest)


class _TakenMeanwhile(Exception):
    """Another call with the same key has come first."""


def _create_and_keep(request: HttpRequest, key: str, create: Callable[[], Answer]) -> Answer:
    user: Any = request.user
    with transaction.atomic():
        entry = IdempotencyKey(user=user, key=key, path=request.path, body_sha256=_digest(request), status=0, answer={})
        try:
            with transaction.atomic():
                entry.save(force_insert=True)
        except IntegrityError as error:
            raise _TakenMeanwhile from error
        answer = create()
        entry.status, entry.location, entry.answer = answer.status, answer.location, answer.body
        entry.save(update_fields=["status", "location", "answer"])
    return answer


def _repeat(request: HttpRequest, kept: IdempotencyKey, digest: str) -> JsonResponse:
    if (kept.path, kept.body_sha256) != (request.path, digest):
        raise Conflict(f"This {HEADER} was used for another request; use a new one for each.")
    response = _response(Answer(kept.status, kept.answer, kept.location))
    response["Idempotent-Replayed"] = "true"
    return response


def _kept(request: HttpRequest, key: str) -> IdempotencyKey | None:
    user: Any = request.user
    return IdempotencyKey.objects.filter(user=user, key=key).first()


def _key_of(request: HttpRequest) -> str | None:
    key = request.headers.get(HEADER)
    if key is not None and not _KEY.match(key):
        raise Invalid(FieldError(HEADER, "must be 1 to 200 printable ASCII characters without blanks."))
    return key


def _digest(request: HttpRequest) -> str:
    """Of what the body says, not of how it is spelled: order and blanks don't matter."""
    try:
        body = json.dumps(json.loads(request.body), sort_keys=True).encode()
    except ValueError:
        body = request.body
    return hashlib.sha256(body).hexdigest()


def _response(answer: Answer) -> JsonResponse:
    response = JsonResponse(answer.body, status=answer.status, safe=False)
    if answer.location:
        response["Location"] = answer.location
    return response
