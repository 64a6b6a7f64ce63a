"""Decoding, defaults and refusals of a new object; the schema's and the webhooks' parts are in files of their own."""

from __future__ import annotations

import re

from . import core_rules, statuses
from .core_defaults import default_core

_NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_RULE = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end "
    "with an alphanumeric character (e.g. 'example.com', regex used for validation is "
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)


class Admission:
    def __init__(self, crds, webhooks):
        self.crds = crds
        self.webhooks = webhooks

    def __call__(self, resource, new, old, verb, user, strict):
        """(object, warnings); `verb`: create, update, status, or decode (of what is applied: decoding only)."""
        new, warnings = self.crds.decode(resource, new, strict, defaults=verb != "decode" and resource.custom)
        if verb == "decode":
            return new, warnings
        if not resource.custom:
            new = default_core(resource, new, old)
            causes = _name_causes(new, old) + core_rules.causes(resource, new, old)
            if causes:
                raise statuses.invalid(resource, new["metadata"]["name"], causes)
            return new, warnings
        if verb != "status":
            new = self.webhooks.default(resource, new, old)
        name = new["metadata"]["name"]
        causes = _name_causes(new, old)
        causes += self.crds.causes(resource, new)
        if causes:
            raise statuses.invalid(resource, name, causes)
        if verb != "status":
            self.webhooks.validate(resource, new, old)
        return new, warnings


def _name_causes(new, old):
    name = new["metadata"]["name"]
    if old is not None or (_NAME.fullmatch(name) and len(name) <= 253):
        return []
    return [("FieldValueInvalid", "metadata.name", f'Invalid value: "{name}": {_RULE}')]
