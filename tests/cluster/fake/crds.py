"""The real CRDs of a KServe version: parsed once, kept as JSON for the next process; structural schemas over them."""

from __future__ import annotations

import functools
import hashlib
import json
import os
import re
from pathlib import Path

import jsonschema
import yaml
from jsonschema.exceptions import ValidationError

from . import core_schemas, statuses
from .kinds import BY_KIND, Resource

ROOT = Path(__file__).resolve().parents[3]
SHARED = Path(os.environ.get("KALE_SERVE_SHARED") or ROOT.parent / "shared")
VERSIONS = {"0.15": "kserve-v0.15.2", "0.17": "kserve-v0.17.1", "0.20": "kserve-v0.20.0"}
_CACHE = ROOT / ".env-stamps" / "crds"


def parsed(path):
    """A YAML file; the large ones take seconds, so what was read is kept by name, time and size."""
    stat = path.stat()
    key = hashlib.sha256(f"{path}:{stat.st_mtime_ns}:{stat.st_size}".encode()).hexdigest()[:20]
    kept = _CACHE / f"{key}.json"
    try:
        return json.loads(kept.read_bytes())
    except (OSError, ValueError):
        pass
    documents = yaml.load(path.read_bytes(), yaml.CSafeLoader)
    try:
        _CACHE.mkdir(parents=True, exist_ok=True)
        part = kept.with_suffix(f".{os.getpid()}")
        part.write_text(json.dumps(documents, default=str))
        part.replace(kept)
    except OSError:
        pass
    return documents


@functools.cache
def of_version(version):
    """All CRDs of a version, as objects."""
    folders = [SHARED / VERSIONS[version] / "crds", SHARED / "snapshot-v8.6.0"]
    return [parsed(p) for folder in folders for p in sorted(folder.glob("*.yaml"))]


@functools.cache
def runtimes():
    folder = SHARED / VERSIONS["0.20"] / "runtimes"
    return [parsed(p) for p in sorted(folder.glob("*.yaml"))]


class Crds:
    """Schemas of one KServe version, by resource; `validates` off means that anything goes."""

    def __init__(self, version, *, validates=True):
        self.version = version
        self.validates = validates and SHARED.is_dir()

    @functools.cached_property
    def objects(self):
        return of_version(self.version) if self.validates else []

    @functools.cached_property
    def _schemas(self):
        found = {}
        for crd in self.objects:
            spec = crd["spec"]
            for served in spec["versions"]:
                key = (f"{spec['group']}/{served['name']}", spec["names"]["kind"])
                if key in BY_KIND:
                    found[BY_KIND[key]] = served["schema"]["openAPIV3Schema"]
        return found

    def schema(self, resource: Resource):
        """The CRD's schema; None for kinds that have none."""
        return self._schemas.get(resource) if resource.custom and self.validates else None

    def decode(self, resource, obj, strict, *, defaults):
        """Prune what the schema does not know (400 if strict, else warnings), and fill in its defaults."""
        schema = self.schema(resource) or core_schemas.of(resource)
        if schema is None:
            return obj, ()
        unknown = []
        pruned = _prune(obj, schema, "", unknown, root=True)
        if not resource.custom:
            wrong = next(_Structural(schema).iter_errors(pruned), None)
            if wrong is not None:
                raise statuses.bad_request(
                    f'{resource.kind} in version "{resource.version}" cannot be handled as a {resource.kind}: json: cannot '
                    f"unmarshal {_name_of(wrong.instance)} into Go struct field of {_field(wrong.absolute_path)}"
                )
        if unknown and strict == "Strict":
            told = ", ".join(f'unknown field "{p}"' for p in unknown)
            raise statuses.bad_request(
                f'{resource.kind} in version "{resource.version}" cannot be handled as a {resource.kind}: strict decoding '
                f"error: {told}"
            )
        warnings = () if strict == "Ignore" else tuple(f'unknown field "{p}"' for p in unknown)
        return (_default(pruned, schema) if defaults else pruned), warnings

    def causes(self, resource, obj):
        """(reason, field, message) of each way in which an object breaks its schema."""
        schema = self.schema(resource)
        if schema is None:
            return []
        rest = {k: v for k, v in obj.items() if k not in ("metadata", "apiVersion", "kind")}
        checked = {k: v for k, v in schema.get("properties", {}).items() if k in rest}
        part = {
            **schema,
            "properties": checked,
            "required": [r for r in schema.get("required", ()) if r != "metadata"],
        }
        return [cause for error in _Structural(part).iter_errors(rest) for cause in _causes(error)]


def _prune(value, schema, path, unknown, *, root=False):
    if isinstance(value, list):
        items = schema.get("items") or {}
        return [_prune(item, items, f"{path}[{i}]", unknown) for i, item in enumerate(value)]
    if not isinstance(value, dict):
        return value
    properties = schema.get("properties")
    further = schema.get("additionalProperties")
    keeps = schema.get("x-kubernetes-preserve-unknown-fields") or further is True
    result = {}
    for key, inner in value.items():
        here = f"{path}.{key}" if path else key
        if root and key in ("apiVersion", "kind", "metadata"):
            result[key] = inner
        elif properties and key in properties:
            result[key] = _prune(inner, properties[key], here, unknown)
        elif isinstance(further, dict):
            result[key] = _prune(inner, further, here, unknown)
        elif keeps or (properties is None and schema.get("type") != "object"):
            result[key] = inner
        elif root or not keeps:
            unknown.append(here)
    return result


def _default(value, schema):
    if isinstance(value, list):
        items = schema.get("items") or {}
        return [_default(item, items) for item in value]
    if not isinstance(value, dict):
        return value
    result = dict(value)
    further = schema.get("additionalProperties")
    properties = schema.get("properties") or {}
    for key, part in properties.items():
        if key not in result and "default" in part:
            result[key] = json.loads(json.dumps(part["default"]))
        elif key in result and result[key] is None and not part.get("nullable"):
            if "default" in part:
                result[key] = json.loads(json.dumps(part["default"]))
            else:
                del result[key]
    for key, inner in list(result.items()):
        part = properties.get(key, further if isinstance(further, dict) else None)
        if part:
            result[key] = _default(inner, part)
    return result


_TYPES = jsonschema.Draft4Validator.TYPE_CHECKER


def _check_type(validator, kind, value, schema):
    if schema.get("nullable") and value is None:
        return
    if not validator.is_type(value, kind):
        yield ValidationError(f"must be of type {kind}")


def _check_int_or_string(validator, wanted, value, schema):
    if wanted and not (validator.is_type(value, "integer") or validator.is_type(value, "string")):
        yield ValidationError("must be of type integer or string")


def _check_required(validator, names, value, schema):
    for name in names if isinstance(value, dict) else ():
        if name not in value:
            yield ValidationError(name)


def _check_list_type(validator, kind, value, schema):
    """Items of a set, and keys of a map, are there once."""
    if not isinstance(value, list) or kind == "atomic":
        return
    seen = []
    items = schema.get("items") or {}
    for index, item in enumerate(value):
        key = item
        if kind == "map" and isinstance(item, dict):
            key = {
                k: item.get(k, items.get("properties", {}).get(k, {}).get("default"))
                for k in schema["x-kubernetes-list-map-keys"]
            }
        if key in seen:
            yield ValidationError(json.dumps(key), path=[index])
        seen.append(key)


_FORMATS = {
    "int32": lambda v: not isinstance(v, int) or -(2**31) <= v < 2**31,
    "int64": lambda v: not isinstance(v, int) or -(2**63) <= v < 2**63,
    "date-time": lambda v: (
        not isinstance(v, str)
        or re.match(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)$", v)
    ),
}


def _check_format(validator, name, value, schema):
    if name in _FORMATS and not _FORMATS[name](value):
        yield ValidationError(f"must be a valid {name}")


_Structural = jsonschema.validators.extend(
    jsonschema.Draft4Validator,
    {
        "type": _check_type,
        "required": _check_required,
        "x-kubernetes-int-or-string": _check_int_or_string,
        "x-kubernetes-list-type": _check_list_type,
        "format": _check_format,
    },
)


def _field(parts):
    told = ""
    for part in parts:
        told += f"[{part}]" if isinstance(part, int) else (f".{part}" if told else str(part))
    return told


def _said(value):
    if value is None:
        return "null"
    if isinstance(value, (dict, list)):
        return json.dumps(value, separators=(",", ":"))
    return json.dumps(value)


def _name_of(value):
    for name, kinds in (
        ("boolean", bool),
        ("integer", int),
        ("number", float),
        ("string", str),
        ("object", dict),
        ("array", list),
    ):
        if isinstance(value, kinds):
            return name
    return "null"


def _causes(error):
    field, value, rule = _field(error.absolute_path), error.instance, error.validator
    if rule == "type":
        told = f'Invalid value: "{_name_of(value)}": {field} in body {error.message}: "{_name_of(value)}"'
        return [("FieldValueTypeInvalid", field, told)]
    if rule == "x-kubernetes-int-or-string":
        told = f'Invalid value: "{_name_of(value)}": {field} in body {error.message}: "{_name_of(value)}"'
        return [("FieldValueTypeInvalid", field, told)]
    if rule == "required":
        return [
            ("FieldValueRequired", f"{field}.{error.message}" if field else error.message, "Required value")
        ]
    if rule == "enum":
        names = ", ".join(json.dumps(v) for v in error.validator_value)
        return [
            ("FieldValueNotSupported", field, f"Unsupported value: {_said(value)}: supported values: {names}")
        ]
    if rule == "x-kubernetes-list-type":
        return [("FieldValueDuplicate", field, f"Duplicate value: {error.message}")]
    if rule == "pattern":
        told = f"{field} in body should match '{error.validator_value}'"
    elif rule == "minimum":
        told = f"{field} in body should be greater than or equal to {error.validator_value}"
    elif rule == "maximum":
        told = f"{field} in body should be less than or equal to {error.validator_value}"
    elif rule == "anyOf":
        return []
    else:
        told = f"{field} in body {error.message}"
    return [("FieldValueInvalid", field, f"Invalid value: {_said(value)}: {told}")]
