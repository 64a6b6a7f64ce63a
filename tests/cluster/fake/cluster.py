"""The fake cluster: its parts put together, and what a request goes through."""

from __future__ import annotations

import json
import logging
import threading
import urllib.parse

from . import certs, crds, reviews, statuses
from .access import Access
from .admission import Admission
from .api import Api
from .kinds import Target, named, target
from .pages import Pages, send
from .player import Controller
from .pod_logs import Logs, read_log
from .script import Asked, Requests, Script
from .service_proxy import Backs
from .serving_http import Reset, Server
from .storage import Storage
from .store import Store
from .watching import Watches
from .webhooks import Webhooks

log = logging.getLogger(__name__)


class FakeCluster:
    """A fake API server; the package's docstring says how it is used."""

    def __init__(
        self, version="0.20", *, tls=False, namespaces=("default",), validates=True, mode="Standard"
    ):
        self.version = version
        self.store = Store()
        self.access = Access()
        self.script = Script()
        self.crds = crds.Crds(version, validates=validates)
        self.webhooks = Webhooks(version, mode)
        self.pages = Pages(self.crds)
        self.requests = Requests()
        self.api = Api(self.store, Admission(self.crds, self.webhooks), self.crds.schema, self._after)
        self.watches = Watches(self.store, self.api, self.script)
        self.logs = Logs(self.store)
        self.backs = Backs()
        self.storage = Storage(self.store, self.api)
        self.tls = tls
        self.controller = Controller(self.store, self.api)
        self.play = self.controller.play
        self.on_change = [self.controller.changed]
        self._server = Server(self._answer, certs.server_context() if tls else None)
        self._stopping = False
        self._lock = threading.Lock()
        self.user = "kale"
        self.allow("*", "*")
        self.token = self.access.token(self.user)
        for name in namespaces:
            self.add_namespace(name)
        if self.crds.validates:
            for runtime in crds.runtimes():
                self.store.put(named("clusterservingruntimes"), runtime)
            for crd in self.crds.objects:
                self.store.put(named("customresourcedefinitions"), crd)

    # its life

    def start(self):
        self.controller.start()
        self._server.start()
        return self

    def stop(self):
        self._stopping = True
        self.watches.closing = True
        self.script.resume()
        self.script.release()
        self.watches.wake()
        self.controller.stop()
        self._server.stop()

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.stop()

    @property
    def url(self):
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self._server.port}"

    @property
    def ca(self):
        """The CA's certificate, PEM."""
        return certs.authority()[0]

    def kubeconfig(self, path, *, token=None, namespace="default", context="fake"):
        """Write a kubeconfig with a token and the CA; answers its path."""
        import base64

        cluster = {"server": self.url}
        if self.tls:
            cluster["certificate-authority-data"] = base64.b64encode(self.ca).decode()
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": context,
            "clusters": [{"name": "fake", "cluster": cluster}],
            "users": [{"name": self.user, "user": {"token": token or self.token}}],
            "contexts": [
                {"name": context, "context": {"cluster": "fake", "user": self.user, "namespace": namespace}}
            ],
        }
        path.touch(0o600)
        path.write_text(json.dumps(config))
        return path

    def refuse(self):
        """The server is away: its port refuses, open connections are cut."""
        self._server.close_listener()
        self._server.drop()

    def silence(self):
        """Connections are accepted and nothing is said, on watches neither."""
        self.script.pause()

    def resume(self):
        """Back from `refuse()` or `silence()`."""
        self.script.resume()
        if self._server._listener is None:
            self._server.start()

    def compact(self):
        """Every resourceVersion so far is too old: new watches from it get 410, and so do pages."""
        self.store.compact()

    # rights

    def allow(self, verbs, resource="*", *, group=None, namespace=None, user=None):
        self.access.rule(True, verbs, resource, group=group, namespace=namespace, user=user or self.user)

    def deny(self, verbs, resource="*", *, group=None, namespace=None, user=None):
        self.access.rule(False, verbs, resource, group=group, namespace=namespace, user=user or self.user)

    # objects, past rights and admission, as the cluster's own parts write them

    def add_namespace(self, name, **labels):
        self.store.put(
            named("namespaces"),
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels},
             "status": {"phase": "Active"}},
        )  # fmt: skip
        self.put(
            {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default", "namespace": name}}
        )

    def put(self, obj):
        """Create or replace an object as it is."""
        from .kinds import BY_KIND

        resource = BY_KIND[obj["apiVersion"], obj["kind"]]
        if resource.namespaced:
            obj = {**obj, "metadata": {"namespace": "default", **obj["metadata"]}}
        with self.store.lock:
            live = self.store.get(resource, obj["metadata"].get("namespace"), obj["metadata"]["name"])
            if live is not None:
                kept = {k: live["metadata"][k] for k in ("uid", "creationTimestamp")}
                obj = {**obj, "metadata": {**kept, **obj["metadata"]}}
            written = self.store.put(resource, obj)
            self._after("put", resource, written, live)
            return written

    def get(self, plural, name, namespace="default", group=None):
        """An object as it is, or None."""
        resource = named(plural, group)
        return self.store.get(resource, namespace if resource.namespaced else "", name)

    def list(self, plural, namespace=None, group=None):
        return [
            o
            for (place, _), o in sorted(self.store.all(named(plural, group)).items())
            if namespace in (None, place)
        ]

    def edit(self, plural, name, patch, namespace="default", manager="kubectl-edit", group=None):
        """A merge patch by another user, through admission."""
        resource = named(plural, group)
        headers = {"Content-Type": "application/merge-patch+json"}
        where = Target(resource, namespace if resource.namespaced else None, name, None, None)
        return self.api.patch(
            where, {"fieldManager": manager}, headers, json.dumps(patch).encode(), "someone-else"
        )[1]

    def set_status(self, plural, name, status, namespace="default", group=None):
        with self.store.lock:
            live = self.get(plural, name, namespace, group)
            return self.store.put(named(plural, group), {**live, "status": status})

    def remove(self, plural, name, namespace="default", group=None, policy="Background"):
        live = self.get(plural, name, namespace, group)
        if live is not None:
            self.api.remove(named(plural, group), live, policy)

    def wait_for(self, holds, seconds=60):
        """Wait until `holds()` is true, looking again after each change of any object or watch."""
        import time

        deadline = time.monotonic() + seconds
        with self.store.lock:
            while not (value := holds()):
                left = deadline - time.monotonic()
                if left <= 0:
                    raise AssertionError(f"it never held: {holds}")
                self.store.changed.wait(min(left, 1.0))
            return value

    # requests

    def _after(self, verb, resource, obj, old):
        self.storage.written(resource, obj)
        for told in self.on_change:
            told(verb, resource, obj, old)

    def _answer(self, handler, body):
        self.script.speaking.wait()
        split = urllib.parse.urlsplit(handler.path)
        path = urllib.parse.unquote(split.path)
        query = dict(urllib.parse.parse_qsl(split.query, keep_blank_values=True))
        where = target(path)
        verb = _verb(handler.command, where, query)
        user = "?"
        try:
            user = self.access.user(handler.headers.get("Authorization"))
            self._log(handler, split.path, query, user, verb, body)
        except statuses.Refused as refusal:
            self._log(handler, split.path, query, user, verb, body)
            self._refuse(handler, refusal)
            return
        failure = self.script.failure(verb, path)
        if failure is not None and not failure.after:
            self._fail(handler, failure)
            return
        try:
            if failure is not None:
                self._dispatch(_Mute(handler), split, path, query, where, verb, user, body)
                self._fail(handler, failure)
            else:
                self._dispatch(handler, split, path, query, where, verb, user, body)
        except statuses.Refused as refusal:
            self._refuse(handler, refusal)
        except (OSError, Reset):
            raise
        except Exception as error:
            log.exception("the fake API server broke")
            self._refuse(handler, statuses.internal(f"the fake itself broke: {error!r}"))

    def _log(self, handler, path, query, user, verb, body):
        headers = dict(handler.headers.items())
        with self.store.lock:
            self.requests.append(Asked(handler.command, path, query, user, verb, headers, body))
            self.store.changed.notify_all()

    def _fail(self, handler, failure):
        if failure.hang:
            self.script.hang()
            raise Reset
        if failure.reset:
            raise Reset
        self._refuse(handler, statuses.of_code(failure.status, failure.message, failure.retry_after))

    @staticmethod
    def _refuse(handler, refusal):
        send(handler, refusal.code, refusal.body, refusal.headers.items())

    def _dispatch(self, handler, split, path, query, where, verb, user, body):
        if where is None:
            self.pages.answer(handler, path, user)
            return
        resource = where.resource
        if resource.plural == "selfsubjectaccessreviews":
            self.access.check(user, verb, where) if user == "system:anonymous" else None
            send(handler, 201, reviews.review(self.access, user, json.loads(body)))
            return
        self.access.check(user, verb, where)
        if where.subresource == "proxy" and resource.plural == "services":
            raw = split.path.split("/proxy", 1)[1].lstrip("/")
            self.backs.proxy(self.store, handler, where, raw, split.query, body)
        elif where.subresource == "log" and resource.plural == "pods":
            read_log(self.store, self.logs, lambda: self._stopping, handler, where, query)
        elif where.subresource == "token" and resource.plural == "serviceaccounts":
            send(handler, 201, reviews.token_request(self.store, self.access, where, json.loads(body)))
        elif where.subresource not in (None, "status") or (where.subresource and not resource.has_status):
            raise statuses.no_such_page()
        elif verb == "watch":
            self.watches.serve(handler, where, query, path)
        elif verb == "get":
            send(handler, 200, self.api.get(where))
        elif verb == "list":
            send(handler, 200, self.api.list(where, query))
        else:
            do = {
                "create": self.api.create, "update": self.api.update, "patch": self.api.patch, "delete": self.api.delete,
                "deletecollection": self.api.delete_all,
            }.get(verb)  # fmt: skip
            if do is None:
                raise statuses.not_allowed()
            status, answer, warnings = do(where, query, dict(handler.headers.items()), body, user)
            told = [("Warning", f"299 - {json.dumps(w)}") for w in warnings]
            send(handler, status, answer, told)


class _Mute:
    """A handler whose answer is lost."""

    def __init__(self, handler):
        self.headers = handler.headers
        self.path = handler.path
        self.command = handler.command

    def send(self, *_):
        pass


def _verb(method, where, query):
    watching = query.get("watch") in ("true", "1")
    if where is None:
        return method.lower()
    if method == "GET":
        return "watch" if watching else ("list" if where.name is None else "get")
    if method == "DELETE":
        return "delete" if where.name is not None else "deletecollection"
    return {"POST": "create", "PUT": "update", "PATCH": "patch"}.get(method, method.lower())
