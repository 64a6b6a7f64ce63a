"""What is no resource: versions, discovery, OpenAPI made of the CRDs, health."""

from __future__ import annotations

import functools
import json
import re

from . import statuses
from .kinds import ALL

GIT_VERSION = "v1.34.1"


def send(handler, status, answer, headers=()):
    body = json.dumps(answer, separators=(",", ":")).encode()
    handler.send(status, [("Content-Type", "application/json"), *headers], body)


class Pages:
    def __init__(self, crds):
        self.crds = crds

    def answer(self, handler, path, user):
        """What is no resource: versions, discovery, OpenAPI, health."""
        if path in ("/livez", "/readyz", "/healthz"):
            handler.send(200, [("Content-Type", "text/plain")], b"ok")
        elif path == "/version":
            send(
                handler,
                200,
                {"major": "1", "minor": "34", "gitVersion": GIT_VERSION, "platform": "linux/amd64"},
            )
        elif user == "system:anonymous":
            text = f'forbidden: User "system:anonymous" cannot get path "{path}"'
            raise statuses.Refused(403, "Forbidden", text, details={})
        elif match := re.fullmatch(r"/openapi/v3(/.*)?", path):
            page = self._openapi((match[1] or "").strip("/"))
            handler.send(200, [("Content-Type", "application/json")], page)
        elif path == "/apis":
            groups = sorted({r.group for r in ALL if r.group})
            send(
                handler,
                200,
                {"kind": "APIGroupList", "apiVersion": "v1", "groups": [self._group(g) for g in groups]},
            )
        elif path == "/api":
            send(handler, 200, {"kind": "APIVersions", "versions": ["v1"]})
        elif match := re.fullmatch(r"/apis/([^/]+)", path):
            if not any(r.group == match[1] for r in ALL):
                raise statuses.no_such_page()
            send(handler, 200, {"kind": "APIGroup", "apiVersion": "v1", **self._group(match[1])})
        elif match := re.fullmatch(r"/(?:api|apis/([^/]+))/([^/]+)", path):
            group, version = match[1] or "", match[2]
            found = [r for r in ALL if (r.group, r.version) == (group, version)]
            if not found:
                raise statuses.no_such_page()
            verbs = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"]
            resources = [
                {
                    "name": r.plural,
                    "singularName": r.kind.lower(),
                    "namespaced": r.namespaced,
                    "kind": r.kind,
                    "verbs": verbs,
                }
                for r in found
            ]
            send(
                handler,
                200,
                {
                    "kind": "APIResourceList",
                    "apiVersion": "v1",
                    "groupVersion": found[0].api_version,
                    "resources": resources,
                },
            )
        else:
            raise statuses.no_such_page()

    @staticmethod
    def _group(group):
        versions = sorted({r.version for r in ALL if r.group == group}, reverse=True)
        told = [{"groupVersion": f"{group}/{v}", "version": v} for v in versions]
        return {"name": group, "versions": told, "preferredVersion": told[0]}

    @functools.lru_cache(maxsize=8)  # noqa: B019
    def _openapi(self, name):
        documents = {}
        for resource in ALL:
            schema = self.crds.schema(resource)
            if schema is not None:
                documents.setdefault(f"apis/{resource.api_version}", []).append((resource, schema))
        if not name:
            paths = {n: {"serverRelativeURL": f"/openapi/v3/{n}?hash={self.crds.version}"} for n in documents}
            return json.dumps({"paths": paths}).encode()
        if name not in documents:
            raise statuses.no_such_page()
        schemas = {}
        for resource, schema in documents[name]:
            group = ".".join(reversed(resource.group.split(".")))
            mark = [{"group": resource.group, "kind": resource.kind, "version": resource.version}]
            schemas[f"{group}.{resource.version}.{resource.kind}"] = {
                **schema,
                "x-kubernetes-group-version-kind": mark,
            }
        page = {
            "openapi": "3.0.0",
            "info": {"title": "Kubernetes CRD Swagger", "version": "v0.1.0"},
            "paths": {},
            "components": {"schemas": schemas},
        }
        return json.dumps(page, separators=(",", ":")).encode()
