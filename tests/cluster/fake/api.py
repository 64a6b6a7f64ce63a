"""The verbs on objects: what a request of a user does to the store."""

from __future__ import annotations

import base64
import copy
import json
import secrets
import string
import uuid

import yaml

from . import applying, patches, picking, statuses
from .kinds import named
from .store import now

SYSTEM = ("uid", "resourceVersion", "creationTimestamp", "generation", "managedFields", "deletionTimestamp",
          "deletionGracePeriodSeconds", "selfLink")  # fmt: skip
_SUFFIX = string.ascii_lowercase.replace("a", "").replace("e", "") + string.digits


def manager_of(query, headers):
    return query.get("fieldManager") or (headers.get("User-Agent") or "unknown").split("/")[0]


class Api:
    """All that one object's life needs but transport, rights and watches.

    `admit(resource, new, old, verb, user, strict)` -> (object, warnings): decoding, defaults, webhooks, schema; `after(verb,
    resource, obj)` is called with every object written by a request, once it is.
    """

    def __init__(self, store, admit, schema_of, after):
        self.store = store
        self.admit = admit
        self.schema_of = schema_of
        self.after = after

    # reading

    def get(self, target):
        obj = self.store.get(target.resource, target.namespace, target.name)
        if obj is None:
            raise statuses.not_found(target.resource, target.name)
        return obj

    def list(self, target, query):
        """A list object, paged by `limit` and `continue`."""
        resource = target.resource
        matches = self.matcher(target, query)
        limit = int(query.get("limit") or 0)
        with self.store.lock:
            version, start = self.store.version, None
            asked = query.get("resourceVersion")
            if asked and asked != "0" and int(asked) > version:
                raise self.too_large(asked)
            if token := query.get("continue"):
                version, start = self._continued(token)
            objects = self.store.at(resource, version)
        found = [
            (key, obj)
            for key, obj in objects.items()
            if (start is None or self._place(target, key) >= start) and matches(obj)
        ]
        metadata = {"resourceVersion": str(version)}
        if limit and len(found) > limit:
            left = len(found) - limit
            found = found[:limit]
            metadata["continue"] = _token(version, self._place(target, found[-1][0]) + "\0")
            if not query.get("labelSelector") and not query.get("fieldSelector"):
                metadata["remainingItemCount"] = left
        items = [obj for _, obj in found]
        if not resource.custom:
            items = [{k: v for k, v in o.items() if k not in ("apiVersion", "kind")} for o in items]
        return {
            "apiVersion": resource.api_version,
            "items": items,
            "kind": f"{resource.kind}List",
            "metadata": metadata,
        }

    def matcher(self, target, query):
        by_label = picking.labels(query.get("labelSelector"))
        by_field = picking.fields(query.get("fieldSelector"), target.resource)

        def matches(obj):
            metadata = obj["metadata"]
            if target.namespace is not None and metadata.get("namespace") != target.namespace:
                return False
            if target.name is not None and metadata["name"] != target.name:
                return False
            return by_label(obj) and by_field(obj)

        return matches

    @staticmethod
    def _place(target, key):
        return key[1] if target.namespace is not None else f"{key[0]}/{key[1]}"

    def _continued(self, token):
        try:
            read = json.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
            version, start = int(read["rv"]), read["start"]
        except (ValueError, KeyError, TypeError):
            raise statuses.bad_request(
                "continue key is not valid: illegal base64 data at input byte 0"
            ) from None
        if version == -1:
            return self.store.version, start
        if version < self.store.compacted:
            raise statuses.expired(
                "The provided continue parameter is too old to display a consistent list result. You can start a new "
                "list without the continue parameter, or use the continue token in this response to retrieve the "
                "remainder of the results. Continuing with the provided token results in an inconsistent list - objects "
                "that were created, modified, or deleted between the time the first chunk was returned and now may show "
                "up in the list.",
                metadata={"continue": _token(-1, start)},
            )
        return version, start

    def too_large(self, asked):
        return statuses.Refused(
            504,
            "Timeout",
            f"Timeout: Too large resource version: {asked}, current: {self.store.version}",
            details={"causes": [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}],
                     "retryAfterSeconds": 1},
            headers={"Retry-After": "1"},
        )  # fmt: skip

    # writing

    def create(self, target, query, headers, body, user):
        resource = target.resource
        new = self._decoded(body, headers)
        self._fits(target, new)
        metadata = {k: v for k, v in (new.get("metadata") or {}).items() if k not in SYSTEM}
        if not metadata.get("name"):
            if not metadata.get("generateName"):
                raise statuses.invalid(
                    resource, "", [("FieldValueRequired", "metadata.name", "Required value: name or generateName is required")]
                )  # fmt: skip
            metadata["name"] = metadata["generateName"] + "".join(secrets.choice(_SUFFIX) for _ in range(5))
        if resource.namespaced:
            metadata["namespace"] = target.namespace
        new = {**new, "apiVersion": resource.api_version, "kind": resource.kind, "metadata": metadata}
        with self.store.lock:
            self._namespace_there(target)
            if resource.has_status and resource.custom:
                new.pop("status", None)
            new, warnings = self.admit(resource, new, None, "create", user, query.get("fieldValidation"))
            if self.store.get(resource, target.namespace, new["metadata"]["name"]) is not None:
                raise statuses.already_exists(resource, new["metadata"]["name"])
            entries = applying.update(
                None, new, resource, self.schema_of(resource), manager_of(query, headers)
            )
            new["metadata"]["managedFields"] = entries
            return 201, self._write(resource, new, None, query, "create"), warnings

    def update(self, target, query, headers, body, user):
        resource = target.resource
        new = self._decoded(body, headers)
        self._fits(target, new)
        with self.store.lock:
            old = self.get(target)
            given = (new.get("metadata") or {}).get("resourceVersion")
            if given and given != old["metadata"]["resourceVersion"]:
                raise statuses.conflict(resource, target.name)
            if not given and resource.custom and target.subresource is None:
                raise statuses.invalid(
                    resource, target.name,
                    [("FieldValueInvalid", "metadata.resourceVersion",
                      "Invalid value: 0: must be specified for an update")],
                )  # fmt: skip
            return 200, *self._changed(target, old, new, query, headers, user, "update")

    def patch(self, target, query, headers, body, user):
        kind = headers.get("Content-Type", "").split(";")[0].strip()
        if kind == "application/apply-patch+yaml":
            return self._apply(target, query, headers, body, user)
        if query.get("force") is not None:
            raise statuses.invalid_options("force may not be set for non-apply patch")
        resource = target.resource
        patch = _parsed(body)
        with self.store.lock:
            old = self.get(target)
            if kind == "application/merge-patch+json":
                new = patches.merge(old, patch)
            elif kind == "application/json-patch+json":
                new = patches.json_patch(old, patch)
            elif kind == "application/strategic-merge-patch+json" and not resource.custom:
                new = patches.strategic(old, patch)
            else:
                accepted = [
                    "application/json-patch+json",
                    "application/merge-patch+json",
                    "application/apply-patch+yaml",
                ]
                raise statuses.Refused(
                    415, "UnsupportedMediaType",
                    "the body of the request was in an unknown format - accepted media types include: " + ", ".join(accepted),
                )  # fmt: skip
            given = new["metadata"].get("resourceVersion")
            if given != old["metadata"]["resourceVersion"]:
                raise statuses.conflict(resource, target.name)
            return 200, *self._changed(target, old, new, query, headers, user, "update")

    def _apply(self, target, query, headers, body, user):
        resource = target.resource
        if not query.get("fieldManager"):
            raise statuses.invalid_options("fieldManager: Required value: is required for apply patch")
        applied = self._decoded(body, headers)
        self._fits(target, applied)
        if (applied.get("metadata") or {}).get("managedFields"):
            raise statuses.bad_request("metadata.managedFields must be nil")
        metadata = dict(applied.get("metadata") or {})
        metadata["name"] = target.name
        if resource.namespaced:
            metadata["namespace"] = target.namespace
        with self.store.lock:
            old = self.store.get(resource, target.namespace, target.name)
            if old is None:
                self._namespace_there(target)
                if "uid" in metadata:
                    raise statuses.conflict(resource, target.name)
            given = metadata.pop("resourceVersion", None)
            if given and (old is None or given != old["metadata"]["resourceVersion"]):
                raise statuses.conflict(resource, target.name)
            applied = {
                **applied,
                "metadata": {k: v for k, v in metadata.items() if k not in SYSTEM},
            }
            if target.subresource is None and resource.custom:
                applied.pop("status", None)
            # What is unknown to the schema never reaches the owner's set.
            applied, warnings = self.admit(
                resource, applied, old, "decode", user, query.get("fieldValidation")
            )
            schema = self.schema_of(resource)
            new = applying.apply(
                old, applied, resource, schema, query["fieldManager"], force=query.get("force") == "true"
            )
            managed = new["metadata"]["managedFields"]
            verb = "update" if old else "create"
            new, more = self.admit(resource, copy.deepcopy(new), old, verb, user, "Ignore")
            new["metadata"]["managedFields"] = managed
            if old is None:
                return 201, self._write(resource, new, None, query, "create"), warnings + more
            self._keep(new, old)
            return 200, self._write(resource, new, old, query, "update"), warnings + more

    def _changed(self, target, old, new, query, headers, user, verb):
        """A whole new state over the old one, or of its part only."""
        resource = target.resource
        if target.subresource == "status":
            new = {**old, "status": new.get("status", {})}
        elif resource.has_status and resource.custom:
            new = {**new, "status": old["status"]} if "status" in old else _less(new, "status")
        new = copy.deepcopy(new)
        if target.resource.namespaced:
            new["metadata"]["namespace"] = target.namespace
        if new["metadata"].get("name") != target.name:
            raise statuses.bad_request(
                f"the name of the object ({new['metadata'].get('name')}) does not match the name on the URL ({target.name})"
            )
        uid = new["metadata"].get("uid")
        if uid and uid != old["metadata"]["uid"]:
            raise statuses.conflict(
                resource,
                target.name,
                f"Precondition failed: UID in precondition: {uid}, UID in object meta: {old['metadata']['uid']}",
            )
        new, warnings = self.admit(
            resource, new, old, "status" if target.subresource else verb, user, query.get("fieldValidation")
        )
        self._keep(new, old)
        schema = self.schema_of(resource)
        new["metadata"]["managedFields"] = applying.update(
            old, new, resource, schema, manager_of(query, headers), target.subresource
        )
        return self._write(resource, new, old, query, verb), warnings

    @staticmethod
    def _keep(new, old):
        """What no client writes stays as it is."""
        for name in SYSTEM:
            if name in ("managedFields", "resourceVersion"):
                continue
            new["metadata"].pop(name, None)
            if name in old["metadata"]:
                new["metadata"][name] = old["metadata"][name]
        new["metadata"]["resourceVersion"] = old["metadata"]["resourceVersion"]

    def _write(self, resource, new, old, query, verb):
        """Store it unless it is a dry run or nothing has changed; count its generation; let go what is deleted."""
        metadata = new["metadata"]
        counts = resource.custom or resource.group == "apps"
        if counts:
            metadata["generation"] = (old or {}).get("metadata", {}).get("generation", 0)
            if old is None or _body(old) != _body(new):
                metadata["generation"] += 1
        if old is not None and _less_times(old) == _less_times(new):
            return old
        if query.get("dryRun") == "All":
            dry = copy.deepcopy(new)
            if old is None:
                dry["metadata"].setdefault("uid", str(uuid.uuid4()))
                dry["metadata"].setdefault("creationTimestamp", now())
            return dry
        if old is not None and metadata.get("deletionTimestamp") and not metadata.get("finalizers"):
            self.store.put(resource, new)
            self._gone(resource, new)
            return new
        written = self.store.put(resource, new)
        self.after(verb, resource, written, old)
        self._collect_orphan(resource, written)
        return written

    # deleting

    def delete(self, target, query, headers, body, user):
        """(200, the object that is on its way or a Status that it is gone)."""
        resource = target.resource
        options = _parsed(body) if body else {}
        policy = options.get("propagationPolicy") or query.get("propagationPolicy") or "Background"
        dry = "All" in (options.get("dryRun") or []) or query.get("dryRun") == "All"
        with self.store.lock:
            obj = self.get(target)
            self._preconditions(resource, obj, options.get("preconditions") or {})
            if dry:
                return 200, obj, ()
            left = self.remove(resource, obj, policy)
            if left is not None:
                return 200, left, ()
            details = {"name": target.name, "kind": resource.plural, "uid": obj["metadata"]["uid"]}
            if resource.group:
                details["group"] = resource.group
            return (
                200,
                {
                    "kind": "Status",
                    "apiVersion": "v1",
                    "metadata": {},
                    "status": "Success",
                    "details": details,
                },
                (),
            )

    def delete_all(self, target, query, headers, body, user):
        """deletecollection."""
        with self.store.lock:
            listed = self.list(target, {k: v for k, v in query.items() if k not in ("limit", "continue")})
            for item in listed["items"]:
                metadata = item["metadata"]
                obj = self.store.get(target.resource, metadata.get("namespace"), metadata["name"])
                if obj is not None:
                    self.remove(target.resource, obj, query.get("propagationPolicy", "Background"))
            return 200, listed, ()

    @staticmethod
    def _preconditions(resource, obj, wanted):
        for key, what in (("uid", "UID"), ("resourceVersion", "ResourceVersion")):
            if wanted.get(key) and wanted[key] != obj["metadata"][key]:
                raise statuses.precondition_failed(
                    resource, obj["metadata"]["name"], what, wanted[key], obj["metadata"][key]
                )

    def remove(self, resource, obj, policy="Background"):
        """Delete an object as the API server and its garbage collector do; what is left of it, or None."""
        with self.store.lock:
            metadata = obj["metadata"]
            dependents = self.store.owned_by(metadata["uid"])
            if policy == "Orphan":
                for kind, child in dependents:
                    refs = [
                        r for r in child["metadata"]["ownerReferences"] if r.get("uid") != metadata["uid"]
                    ]
                    self.store.put(
                        kind, {**child, "metadata": {**child["metadata"], "ownerReferences": refs}}
                    )
            finalizers = list(metadata.get("finalizers") or ())
            # Foreground: the finalizer is set always; the collector takes it away when nothing is left to wait for.
            foreground = policy == "Foreground" and "foregroundDeletion" not in finalizers
            if foreground:
                finalizers.append("foregroundDeletion")
            if not finalizers:
                self._gone(resource, obj)
                return None
            if not metadata.get("deletionTimestamp") or foreground:
                metadata = {**metadata, "finalizers": finalizers}
                if "deletionTimestamp" not in metadata:
                    metadata.update(deletionTimestamp=now(), deletionGracePeriodSeconds=0)
                    if "generation" in metadata:
                        metadata["generation"] += 1
                answer = self.store.put(resource, {**obj, "metadata": metadata})
                if foreground:
                    for kind, child in dependents:
                        self.remove(kind, child, "Foreground")
                    self.lift(resource, answer, "foregroundDeletion")
                self.after("delete", resource, answer, obj)
                return answer
            return obj

    def lift(self, resource, obj, finalizer):
        """Take a finalizer away; the last one lets the object go."""
        with self.store.lock:
            metadata = obj["metadata"]
            live = self.store.get(resource, metadata.get("namespace"), metadata["name"])
            if live is None or live["metadata"]["uid"] != metadata["uid"]:
                return
            left = [f for f in live["metadata"].get("finalizers") or () if f != finalizer]
            changed = {**live, "metadata": {**live["metadata"], "finalizers": left}}
            if not left:
                changed["metadata"].pop("finalizers")
            if not left and live["metadata"].get("deletionTimestamp"):
                self._gone(resource, live)
            elif changed != live:
                self.store.put(resource, changed)

    def _gone(self, resource, obj):
        metadata = obj["metadata"]
        self.store.remove(resource, metadata.get("namespace"), metadata["name"])
        self.after("gone", resource, obj, obj)
        for kind, child in self.store.owned_by(metadata["uid"]):
            self._collect_orphan(kind, child)
        if resource.plural == "namespaces":
            for kind in list(self.store._objects):
                for child in list(self.store.all(kind).values()):
                    if child["metadata"].get("namespace") == metadata["name"]:
                        self.remove(kind, child)

    def _collect_orphan(self, resource, obj):
        """The garbage collector: an object goes when none of its owners lives."""
        references = obj["metadata"].get("ownerReferences") or ()
        namespace = obj["metadata"].get("namespace")
        if references and not any(self.store.owner_lives(r, namespace) for r in references):
            self.remove(resource, obj)

    # what a body must be

    @staticmethod
    def _decoded(body, headers):
        obj = _parsed(body)
        if not isinstance(obj, dict):
            raise statuses.bad_request("couldn't get version/kind; json parse error: not an object")
        return obj

    @staticmethod
    def _fits(target, obj):
        resource = target.resource
        if obj.get("kind") not in (None, resource.kind) or obj.get("apiVersion") not in (
            None,
            resource.api_version,
        ):
            raise statuses.bad_request(
                f'{obj.get("kind")} in version "{str(obj.get("apiVersion")).split("/")[-1]}" cannot be handled as a '
                f'{resource.kind}: no kind "{obj.get("kind")}" is registered for version "{obj.get("apiVersion")}"'
            )
        metadata = obj.get("metadata") or {}
        if metadata.get("namespace") not in (None, "", target.namespace):
            raise statuses.bad_request(
                "the namespace of the provided object does not match the namespace sent on the request"
            )
        if target.name and metadata.get("name") not in (None, target.name):
            raise statuses.bad_request(
                f"the name of the object ({metadata['name']}) does not match the name on the URL ({target.name})"
            )

    def _namespace_there(self, target):
        if not target.resource.namespaced:
            return
        namespaces = named("namespaces")
        live = self.store.get(namespaces, "", target.namespace)
        if live is None:
            raise statuses.not_found(namespaces, target.namespace)
        if live["metadata"].get("deletionTimestamp"):
            raise statuses.forbidden(
                target.resource,
                f"unable to create new content in namespace {target.namespace} because it is being terminated",
                target.name,
            )


def _token(version, start):
    text = json.dumps({"v": "meta.k8s.io/v1", "rv": version, "start": start}, separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).rstrip(b"=").decode()


def _parsed(body):
    try:
        return json.loads(body)
    except ValueError:
        pass
    try:
        return yaml.load(body, yaml.CSafeLoader)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise statuses.bad_request(f"error decoding the body: {error}") from None


def _less(obj, *names):
    return {k: v for k, v in obj.items() if k not in names}


def _body(obj):
    """What counts for the generation: all but metadata and status."""
    return _less(obj, "metadata", "status")


def _less_times(obj):
    """For "has anything changed": without the times of managedFields and what the write itself sets."""
    metadata = _less(obj["metadata"], "resourceVersion", "generation")
    metadata["managedFields"] = [_less(e, "time") for e in metadata.get("managedFields") or ()]
    return {**obj, "metadata": metadata}
