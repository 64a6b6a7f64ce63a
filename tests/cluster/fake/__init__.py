"""A fake Kubernetes API server with KServe on it: real HTTP(S) on 127.0.0.1, real CRDs, scripted failures.

    import fake_cluster                                   # any test: tests/conftest.py registers the package by that name
    with fake_cluster.FakeCluster("0.20", tls=True, namespaces=("default", "kubeflow-user")) as fake: ...

or by the fixtures (fixtures.py; tests/cluster has them, others say `from fake_cluster.fixtures import *` in their conftest):

    fake         a running FakeCluster with TLS, KServe 0.20; other versions: @pytest.mark.parametrize("kserve_version", ["0.15"])
    kubeconfig   path of a kubeconfig for it (token, CA, namespace "default")
    cluster      Target(kubeconfig, namespace, fake | None): the fake, or the real one of KALE_SERVE_TEST_KUBECONFIG in a
                 namespace of its own. Tests that script failures carry @pytest.mark.needs_fake and are skipped there.

What a test can do with it:

    fake.url, fake.ca (PEM bytes), fake.token (of the user "kale", who may do everything), fake.kubeconfig(path, token=…)
    fake.access.token("reader", seconds=…)   a token of another user, who may do nothing yet;  fake.access.expire(token)
    fake.deny("create patch", "secrets")     take rights from "kale" (user=… for others); the last rule that fits decides
    fake.allow("get", "pods/log", namespace="default", user="reader");  verbs as a text, resource with its subresource

    fake.script.fail("patch", "inferenceservices/iris", status=429, retry_after=1, times=2)   # or status=500, reset=True, hang=True
    fake.script.fail("patch", …, reset=True, after=True)   # it is done, only the answer is lost
    fake.silence() / fake.refuse() / fake.resume()         # accepts and says nothing / refuses connections / is back
    fake.watches.drop(), .drop(expired=True), .bookmark(), .bookmark_seconds, .open   # cut, 410, now, and which are open
    fake.compact()                                         # 410 for every older resourceVersion and page
    fake.requests                                          # list of Asked(method, path, query, user, verb, headers, body)
    fake.requests.count("watch", "pods"), .of(verb, regex), .writes(), .clear()

    fake.put({...}), fake.get("pods", name), fake.list("pods", namespace), fake.remove("secrets", name)   # past all rules
    fake.edit("inferenceservices", name, merge_patch)      # what another user does with kubectl edit
    fake.set_status("inferenceservices", name, {...})
    fake.wait_for(lambda: fake.get("pods", "x"), seconds=60)   # looks again after every change; raises AssertionError

    fake.logs["iris-predictor-*/kserve-container"] = ["line", …]; fake.logs.append(key, "line"); key + "/previous"
    fake.backs("iris-predictor", "http://127.0.0.1:8080")  # or a Unix socket's path: what stands behind a Service's proxy
    fake.storage.snapshots = False, then fake.storage.ready(namespace, name, restore_size="5Gi"), .fail(namespace, name, text)
    fake.storage.binds = False, then fake.storage.bind(namespace, name)

The controller: fake.play("missing-image", name="iris") says which recording of ../shared/kserve-v0.20.0/recordings an
InferenceService of that name gets when it is created ("*": all); without it `ready` (`transformer` with a transformer,
`canary-standard` with spec.canary). See player.py. `fake.controller.enabled = False`: nobody answers.
"""

from __future__ import annotations

from .cluster import FakeCluster
from .crds import SHARED
from .statuses import Refused

__all__ = ["SHARED", "FakeCluster", "Refused"]
