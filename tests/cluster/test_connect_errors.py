"""What an API server refuses, as errors of ours: by recorded answers of a real one, and by forms that it is known to have."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from kale_serve_lab.backends.kserve.cluster import APPLY, Answer
from kale_serve_lab.backends.kserve.cluster_errors import errors_of, retry_after, right_hint
from kale_serve_lab.backends.kserve.retrying import repeatable, wait_before_next
from kale_serve_lab.errors import (
    ClusterRefused,
    ClusterUnavailable,
    Conflict,
    Forbidden,
    InvalidConfig,
    NameTaken,
    NotFound,
    Unauthorized,
    from_json,
)


@pytest.fixture
def shared(needs_shared):
    return Path(os.environ.get("KALE_SERVE_SHARED") or Path(__file__).parents[3] / "shared")


VERBS = {"GET": "get", "POST": "create", "PUT": "update", "DELETE": "delete", "PATCH": "apply"}
EXPECTED = {
    "get one that is not there": (NotFound, "absent"),
    "the same, fieldValidation=Strict": (InvalidConfig, "spec.predictor.model.storageURI"),
    "server-side dry run, refused by the webhook": (InvalidConfig, "'MinReplicas' cannot be less than 0"),
    "server-side dry run, refused by the schema": (InvalidConfig, "spec.predictor.scaleMetric"),
    "server-side apply after that: 409 with the conflicting fields": (Conflict, "kubectl-edit has set spec.predictor.model.storageUri"),
    "create what exists": (NameTaken, "is there already"),
    "update with an old resourceVersion: 409": (Conflict, "has changed meanwhile"),
    "delete with a wrong uid precondition: 409": (Conflict, "has changed meanwhile"),
    "no token": (Forbidden, "system:anonymous"),
    "bad token": (Unauthorized, "credentials"),
    "a user with no rights lists": (Forbidden, "cannot list resource"),
    "a user with no rights creates": (Forbidden, "cannot create resource"),
    "predict through the API server: a Service proxy with no ready backend": (NotFound, "gone-predictor"),
}  # fmt: skip


@pytest.mark.parametrize("what", sorted(EXPECTED))
def test_recorded_answers_become_errors_that_name_verb_object_and_next_step(what, shared):
    transcripts = json.loads((shared / "kserve-v0.20.0" / "transcripts.json").read_text())
    one = next(one for one in transcripts if one["what"] == what)
    answer = Answer(one["response"]["status"], one["response"]["body"])
    verb = VERBS[one["request"]["method"]]
    error = errors_of(answer, verb, "inferenceservice default/t-ssa")
    kind, words = EXPECTED[what]
    assert type(error) is kind
    assert words in str(error)
    assert error.subject == "inferenceservice default/t-ssa"
    assert "t-ssa" in error.message
    assert error.details["verb"] == verb
    assert error.details["status"] == answer.status
    assert from_json(json.loads(json.dumps(error.to_json()))).details == error.details


def test_every_recorded_refusal_is_expected_here(shared):
    transcripts = json.loads((shared / "kserve-v0.20.0" / "transcripts.json").read_text())
    refused = {one["what"] for one in transcripts if one["response"]["status"] >= 400}
    assert refused - set(EXPECTED) == {"list with an expired continue token"}  # a watch's own affair


def status(code, reason, message="it says so", **details):
    body = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": message, "reason": reason}
    return Answer(code, {**body, "code": code, **({"details": details} if details else {})})


def test_a_missing_right_names_the_rule_and_where_to_grant_it():
    error = errors_of(
        status(403, "Forbidden", group="serving.kserve.io", kind="inferenceservices", name="iris"),
        "apply",
        "inferenceservice team/iris",
    )
    assert type(error) is Forbidden
    assert error.details["rule"] == {
        "apiGroups": ["serving.kserve.io"],
        "resources": ["inferenceservices"],
        "verbs": ["create", "patch"],
    }
    assert error.details["namespace"] == "team"
    for part in (
        '["serving.kserve.io"]',
        '["inferenceservices"]',
        "create, patch",
        "namespace team",
        "kubectl auth can-i",
    ):
        assert part in error.hint


def test_the_right_of_a_subresource_is_named_whole():
    # The API server's details name `pods` only.
    answer = status(403, "Forbidden", kind="pods", name="p")
    error = errors_of(answer, "get", "pod team/p", group="", resource="pods/log")
    assert error.details["rule"] == {"apiGroups": [""], "resources": ["pods/log"], "verbs": ["get"]}
    assert "kubectl auth can-i get pods --subresource=log -n team" in error.hint
    assert "ClusterRole" in right_hint("list", "serving.kserve.io", "clusterservingruntimes", None)


def test_texts_decide_nothing():
    """The same structure with another text is the same error, and a text that looks like another refusal changes nothing."""
    for text in ("", "x", "already exists", 'admission webhook "v" denied', "Unauthorized", "unknown field"):
        assert type(errors_of(status(409, "AlreadyExists", text), "create", "a b/c")) is NameTaken
        assert type(errors_of(status(409, "Conflict", text), "apply", "a b/c")) is Conflict
        assert type(errors_of(status(403, "Forbidden", text, kind="pods"), "get", "a b/c")) is Forbidden
        assert type(errors_of(status(403, "Forbidden", text), "create", "a b/c")) is InvalidConfig
        assert type(errors_of(status(422, "Invalid", text), "apply", "a b/c")) is InvalidConfig
        assert type(errors_of(status(500, "InternalError", text), "apply", "a b/c")) is ClusterRefused


def test_all_fields_that_are_refused_are_named():
    causes = [
        {"reason": "FieldValueInvalid", "message": "Invalid value: -1", "field": "spec.predictor.minReplicas"},
        {"reason": "FieldValueRequired", "message": "Required value", "field": "spec.predictor.containers[0].name"},
    ]  # fmt: skip
    error = errors_of(status(422, "Invalid", causes=causes), "apply", "inferenceservice a/b")
    assert error.details["fields"] == ["spec.predictor.minReplicas", "spec.predictor.containers[0].name"]
    assert "spec.predictor.minReplicas: Invalid value: -1" in error.message
    assert "spec.predictor.containers[0].name" in error.hint


def test_conflicts_name_each_manager_with_its_fields():
    causes = [
        {
            "reason": "FieldManagerConflict",
            "message": 'conflict with "argocd" using v1beta1',
            "field": ".spec.a",
        },
        {
            "reason": "FieldManagerConflict",
            "message": 'conflict with "argocd" using v1beta1',
            "field": ".spec.b",
        },
        {"reason": "FieldManagerConflict", "message": "odd", "field": ".spec.c"},
    ]
    error = errors_of(status(409, "Conflict", causes=causes), "apply", "inferenceservice a/b")
    assert error.details["conflicts"] == [
        {"field": "spec.a", "manager": "argocd"},
        {"field": "spec.b", "manager": "argocd"},
        {"field": "spec.c", "manager": None},
    ]
    assert "argocd has set spec.a, spec.b; somebody else has set spec.c" in error.message
    assert "overwrite=True" in error.hint


@pytest.mark.parametrize(
    ("answer", "kind", "words"),
    [
        (Answer(200 + 103, b""), ClusterRefused, "no API server"),
        (Answer(403, b"RBAC: access denied"), Forbidden, "RBAC: access denied"),
        (Answer(403, b"<html>log in</html>"), Forbidden, "a web page"),
        (Answer(404, b"404 page not found\n"), NotFound, "not installed"),
        (Answer(413, b"too big"), InvalidConfig, "too large"),
        (Answer(429, {"kind": "Status"}, {"retry-after": "7"}), ClusterUnavailable, "busy"),
        (Answer(503, b"upstream connect error"), ClusterUnavailable, "upstream connect error"),
        (Answer(500, b"panic"), ClusterRefused, "panic"),
        (Answer(418, {"kind": "Status", "details": None}), ClusterRefused, "418"),
        (Answer(422, {"kind": "Status", "details": {"causes": ["x", None]}}), InvalidConfig, "HTTP 422"),
        (Answer(400, {"kind": "Status", "details": [], "message": 3}), InvalidConfig, "3."),
        (Answer(404, {"kind": "Status", "details": "text"}), NotFound, "HTTP 404"),
    ],
    ids=lambda value: str(value.status) if isinstance(value, Answer) else None,
)  # fmt: skip
def test_what_strangers_and_broken_servers_answer_is_an_error_too(answer, kind, words):
    error = errors_of(answer, "create", "inferenceservice a/b")
    assert type(error) is kind
    assert words in str(error)


def test_a_long_text_is_cut_and_its_control_characters_are_gone():
    error = errors_of(status(500, "InternalError", "a\n\tb " + "x" * 100_000), "get", "pod a/b")
    assert len(str(error)) < 2000
    assert "a b x" in error.message


def test_retry_after_is_read_from_the_header_or_the_status():
    assert retry_after(Answer(429, b"", {"retry-after": "3"})) == 3
    assert retry_after(status(500, "ServerTimeout", retryAfterSeconds=2)) == 2
    for odd in ("-1", "soon", "1e9", "nan", ""):
        assert retry_after(Answer(429, b"", {"retry-after": odd})) is None


@pytest.mark.parametrize(
    ("method", "kind", "query", "again"),
    [
        ("GET", "application/json", {}, True),
        ("PATCH", APPLY, {}, True),
        ("PATCH", "application/merge-patch+json", {}, False),
        ("POST", "application/json", {}, False),
        ("POST", "application/json", {"dryRun": "All"}, True),
        ("DELETE", "application/json", {}, True),
    ],
)
def test_only_what_may_be_repeated_is(method, kind, query, again):
    assert repeatable(method, kind, query) is again


def test_tries_end_and_a_failing_webhook_is_not_asked_again():
    busy = Answer(429, b"", {"retry-after": "2"})
    assert wait_before_next(busy, 1, reading=False) == 2
    assert wait_before_next(Answer(200, b""), 1, reading=True) is None
    assert wait_before_next(Answer(404, b""), 1, reading=True) is None
    assert wait_before_next(status(500, "InternalError"), 1, reading=False) is None
    assert wait_before_next(status(500, "InternalError"), 1, reading=True) is not None
    waits = []
    for tries in range(1, 50):
        wait = wait_before_next(Answer(503, b""), tries, reading=True)
        if wait is None:
            break
        waits.append(wait)
    assert waits == sorted(waits)
    assert 3 <= len(waits) <= 10
