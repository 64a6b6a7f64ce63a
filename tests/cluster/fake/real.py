"""A real cluster in place of the fake: what it lacks for these tests, and a namespace of its own for each of them.

Everything that is made there lies in namespaces with the label `kale-serve-lab/test-run`; they are removed with all they hold.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import secrets
import time
from pathlib import Path

import yaml

KUBECONFIG = "KALE_SERVE_TEST_KUBECONFIG"
STORE = "KALE_SERVE_TEST_STORE"
LABEL = "kale-serve-lab/test-run"
# KServe's controller and the node's agents end what is there; a pod may take its grace period first.
_GONE_SECONDS = 240


def kubeconfig():
    """The real cluster's kubeconfig, None where the fake is meant."""
    given = os.environ.get(KUBECONFIG)
    # Settings want it whole: the daemon runs elsewhere.
    return Path(given).expanduser().absolute() if given else None


def store():
    """`(store, objects)` of KALE_SERVE_TEST_STORE: as in cluster.json, and what it needs in the namespace; `(None, [])` without."""
    given = os.environ.get(STORE)
    if not given:
        return None, []
    found = json.loads(given)
    path = found.pop("objects", None)
    return found, [one for one in yaml.safe_load_all(Path(path).read_text()) if one] if path else []


@functools.cache
def lacks(path):
    """Why these tests cannot run there, None where they can. A cluster that does not answer is an error."""
    import kubernetes

    with _client(path) as client:
        try:
            kubernetes.client.CustomObjectsApi(client).get_api_resources("serving.kserve.io", "v1beta1")
        except kubernetes.client.ApiException as error:
            if error.status != 404:
                raise
            return "the cluster has no KServe (serving.kserve.io/v1beta1)"
        for verb, resource in (
            ("create", "namespaces"),
            ("delete", "namespaces"),
            ("patch", "inferenceservices"),
        ):
            group = "" if resource == "namespaces" else "serving.kserve.io"
            asked = {"verb": verb, "resource": resource, "group": group}
            review = kubernetes.client.AuthorizationV1Api(client).create_self_subject_access_review(
                {"spec": {"resourceAttributes": asked}}
            )
            if not review.status.allowed:
                return f"its user may not {verb} {resource}, which a namespace of the test's own needs"
    return None


@contextlib.contextmanager
def namespace(path, objects=()):
    """A new namespace that holds these objects; gone with everything in it afterwards."""
    import kubernetes

    name = f"kale-serve-test-{secrets.token_hex(4)}"
    run = os.environ.get("PYTEST_XDIST_TESTRUNUID") or str(os.getpid())
    labels = {LABEL: run[:60], "app.kubernetes.io/managed-by": "kale-serve-lab-tests"}
    with _client(path) as client:
        core = kubernetes.client.CoreV1Api(client)
        core.create_namespace({"metadata": {"name": name, "labels": labels}})
        try:
            for one in objects:
                kubernetes.utils.create_from_dict(client, one, namespace=name)
            yield name
        finally:
            core.delete_namespace(name)
            _wait_until_gone(core, name)


def _wait_until_gone(core, name):
    import kubernetes

    ends = time.monotonic() + _GONE_SECONDS
    while True:
        try:
            left = core.read_namespace(name)
        except kubernetes.client.ApiException as error:
            if error.status == 404:
                return
            raise
        if time.monotonic() > ends:
            said = "; ".join(one.message or one.type for one in left.status.conditions or ())
            raise AssertionError(f"the namespace {name} is not gone after {_GONE_SECONDS} s: {said}")
        time.sleep(0.2)


@contextlib.contextmanager
def _client(path):
    import kubernetes

    with contextlib.closing(kubernetes.config.new_client_from_config(str(path))) as client:
        yield client
