"""`kale-serve cluster`: which Kubernetes cluster services go to, and whether they can."""

from __future__ import annotations

import argparse
import os
import shutil
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kale_serve_lab import cli_prune
from kale_serve_lab.cli_printing import done, print_json, safe, table
from kale_serve_lab.errors import ClusterUnavailable, InvalidConfig, KaleServeError, PreflightFailed

if TYPE_CHECKING:
    from kale_serve_lab.backends.kserve.checking import Check
    from kale_serve_lab.backends.kserve.cluster import Cluster
    from kale_serve_lab.backends.kserve.settings import Settings

_MARKS = {"ok": "ok", "warning": "lacks", "error": "FAILS", "unknown": "?"}
_STORE_OPTIONS = (
    "endpoint",
    "region",
    "secret",
    "service_account",
    "mounted",
    "snapshot_class",
    "storage_class",
    "addressing",
)
_OPTIONS = ("kubeconfig", "context", "namespace", "image", "kserve_version", "address", "ca_file", "issuer", "audience", "token_account")  # fmt: skip


def add(commands: Any, common: argparse.ArgumentParser) -> None:
    """Put the command into `kale-serve`'s parser."""
    text = "Say which Kubernetes cluster services may go to, and check that they can."
    top = commands.add_parser("cluster", help=text, description=text)
    inner = top.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, run: Callable[[argparse.Namespace], None], text: str) -> argparse.ArgumentParser:
        found: argparse.ArgumentParser = inner.add_parser(name, parents=[common], help=text, description=text)
        found.set_defaults(run=run)
        return found

    command("show", _show, "Show what is set; nothing is asked of the cluster.")
    command("check", _check, "Ask the cluster for all that serving needs; exit code 1 when it would fail.")
    cli_prune.options(command("prune", cli_prune.run, cli_prune.TEXT))
    command("unset", _unset, "Forget the cluster; what runs there goes on.")
    setting = command("set", _set, 'Set what is given and keep the rest; "" takes a value back.')
    where = setting.add_argument_group("which cluster")
    where.add_argument("--context", metavar="NAME", help="the kubeconfig's context")
    where.add_argument("--kubeconfig", metavar="PATH", help="by default $KUBECONFIG, else ~/.kube/config")
    where.add_argument(
        "--in-cluster", action="store_true", help="the ServiceAccount of the pod that this runs in"
    )
    where.add_argument("--namespace", metavar="NAME", help="by default the context's own")
    which = where.add_mutually_exclusive_group()
    which.add_argument(
        "--default", action="store_true", default=None, help="serve() goes there unless told otherwise"
    )
    which.add_argument("--no-default", dest="default", action="store_false", help="serve() stays here")
    store = setting.add_argument_group("where models are put for it")
    store.add_argument(
        "--store", metavar="URL", help="s3://bucket/prefix, pvc://claim/prefix or snapshot://claim"
    )
    store.add_argument("--endpoint", metavar="URL", help="of an S3 that is not Amazon's")
    store.add_argument("--region", metavar="NAME")
    store.add_argument(
        "--addressing",
        metavar="STYLE",
        help="path or virtual (the bucket in the host's name); by default path at an --endpoint, virtual at Amazon's",
    )
    store.add_argument(
        "--secret",
        metavar="NAME",
        help="of the Secret by which the cluster reads the bucket (never its value)",
    )
    store.add_argument("--service-account", metavar="NAME", help="that lists the Secret; pods run by it")
    store.add_argument("--mounted", metavar="PATH", help="where the claim's volume lies here")
    store.add_argument("--snapshot-class", metavar="NAME")
    store.add_argument("--storage-class", metavar="NAME")
    more = setting.add_argument_group("more")
    more.add_argument(
        "--image", metavar="IMAGE", help="our server's image, for what KServe has no server for"
    )
    more.add_argument("--kserve-version", metavar="VERSION", help="by default looked for")
    more.add_argument(
        "--address", metavar="WAY", help="in-cluster, external or api-server; by default what works"
    )
    more.add_argument("--ca-file", metavar="PATH", help="a CA bundle for the services' addresses")
    more.add_argument("--issuer", metavar="URL", help="who logs people in before the services, such as Dex")
    more.add_argument("--audience", metavar="NAME", help="that the gateway wants in tokens")
    more.add_argument("--token-account", metavar="NAME", help="the ServiceAccount that tokens are made for")


def _show(options: argparse.Namespace) -> None:
    from kale_serve_lab.backends.kserve import settings as kept

    meant = kept.meant()
    file = kept.path()
    if options.json:
        print_json(
            {
                "configured": meant is not None,
                "file": str(file) if file.exists() else None,
                "settings": meant.to_json() if meant is not None else None,
            }
        )
        return
    if meant is None:
        print("No cluster is set; services stay on this machine.")
        print("`kale-serve cluster set --context NAME` sets one.")
        return
    rows = [["cluster", _where(meant)], ["namespace", meant.namespace or "the connection's own"]]
    rows += [
        ["default", "serve() goes there" if meant.default else "serve() stays here unless told otherwise"]
    ]
    store = meant.to_json()["store"] or {"kind": "none: models have no way to the cluster yet"}
    rows += [
        ["store", ", ".join(f"{key}={value}" if key != "kind" else value for key, value in store.items())]
    ]
    for name in ("image", "kserve_version", "address", "ca_file", "issuer", "audience", "token_account"):
        value = getattr(meant, name)
        if value is not None:
            rows.append([name.replace("_", " "), value])
    rows.append(["set in", str(file) if file.exists() else "the environment"])
    table(["", ""], rows)


def _set(options: argparse.Namespace) -> None:
    from kale_serve_lab.backends.kserve import settings as kept

    # A file that cannot be read is left as it is: what it says is the user's.
    before = kept.read() or kept.Settings()
    value = before.to_json()
    if options.in_cluster:
        if options.context or options.kubeconfig:
            raise InvalidConfig(
                "--in-cluster and --context or --kubeconfig cannot both be meant.", subject="context"
            )
        value |= {"context": None, "kubeconfig": None}
    for name in _OPTIONS:
        given = getattr(options, name)
        if given is not None:
            value[name] = given or None
    for name in ("kubeconfig", "ca_file"):
        if getattr(options, name):
            value[name] = str(Path(getattr(options, name)).expanduser().absolute())
    if options.context and value["kubeconfig"] is None:
        value["kubeconfig"] = _kubeconfig_of_the_shell()
    if options.default is not None:
        value["default"] = options.default
    value["store"] = _store(options, value["store"])
    wanted = kept.from_json(value)
    _exists(wanted)
    if wanted == before and kept.path().exists():
        done(options, "Nothing has changed.")
        return
    kept.write(wanted)
    if wanted.store is None:
        done(
            options, f"Set: {_where(wanted)}. Models have no way there yet: --store says where they are put."
        )
    else:
        done(
            options, f"Set: {_where(wanted)}. `kale-serve cluster check` says whether services can go there."
        )


def _unset(options: argparse.Namespace) -> None:
    from kale_serve_lab.backends.kserve import settings as kept

    was = kept.remove()
    done(options, "The cluster is forgotten; what runs there goes on." if was else "No cluster was set.")


def _check(options: argparse.Namespace) -> None:
    from kale_serve_lab.backends.kserve import settings as kept
    from kale_serve_lab.backends.kserve.checking import checks

    meant = kept.meant()
    if meant is None:
        raise ClusterUnavailable(
            "No cluster is set.",
            subject="cluster",
            hint="`kale-serve cluster set --context NAME` says which one is meant.",
        )
    found = []
    for one in checks(meant, lambda cluster: _store_checks(meant, cluster)):
        found.append(one)
        if not options.json:
            _print_check(one)
    errors = [one for one in found if one.state == "error"]
    if options.json:
        print_json({"ok": not errors, "checks": [one.to_json() for one in found]})
    elif not errors:
        print("Services can be served there.")
    if errors:
        raise PreflightFailed(
            f"Serving would fail: {errors[0].message}"
            if len(errors) == 1
            else f"Serving would fail: {len(errors)} things are wrong.",
            subject="cluster",
            hint=errors[0].fix,
            details={"checks": [one.to_json() for one in errors]},
        )


def _store_checks(settings: Settings, cluster: Cluster) -> Iterator[Check]:
    from kale_serve_lab.backends.kserve.checking import Check, failed
    from kale_serve_lab.daemon import publishers

    try:
        checked = publishers.check(settings.store, cluster)
    except KaleServeError as error:
        yield failed("store", error)
        return
    yield from (Check("store", "ok", one) for one in checked.well)
    yield from (Check("store", "warning", one) for one in checked.findings)
    yield from (Check("store", "error", one) for one in checked.missing)


def _print_check(check: Check) -> None:
    width = max(60, shutil.get_terminal_size((100, 20)).columns)
    lines = textwrap.wrap(safe(check.message), width - 7) or [""]
    if check.state in {"error", "warning"} and check.fix:
        lines += textwrap.wrap(safe(check.fix), width - 7)
    for number, line in enumerate(lines):
        print(f"{_MARKS[check.state] if number == 0 else '':<6} {line}")


def _exists(settings: Settings) -> None:
    """Raise `InvalidConfig` where the kubeconfig or its context is not there: before anything is written."""
    from kale_serve_lab.backends.kserve import settings as kept
    from kale_serve_lab.backends.kserve.connect import contexts

    if settings.in_cluster:
        if not kept.in_pod():
            try:
                there = contexts()
            except InvalidConfig:
                there = []
            raise InvalidConfig(
                "It is not said which cluster is meant, and this is no pod with a ServiceAccount.",
                subject="context",
                hint="Add --context NAME."
                + (
                    f" There are: {', '.join(there)}."
                    if there
                    else " Name a kubeconfig by --kubeconfig PATH."
                ),
            )
        return
    there = contexts(settings.kubeconfig)
    if settings.context is not None and settings.context not in there:
        raise InvalidConfig(
            f"The kubeconfig has no context {settings.context}.",
            subject="context",
            hint=f"There are: {', '.join(there) or 'none'}.",
        )


def _store(options: argparse.Namespace, before: dict[str, Any] | None) -> dict[str, Any] | None:
    value = dict(before) if before else None
    if options.store is not None:
        value = _named(options.store, value or {}) if options.store else None
    given = {name: getattr(options, name) for name in _STORE_OPTIONS if getattr(options, name) is not None}
    if given and value is None:
        first = next(iter(given)).replace("_", "-")
        raise InvalidConfig(
            f"--{first} belongs to a store, and none is set.",
            subject="store",
            hint="Add --store s3://bucket/prefix.",
        )
    if value is not None:
        if given.get("mounted"):
            given["mounted"] = str(Path(given["mounted"]).expanduser().absolute())
        value |= {name: text or None for name, text in given.items()}
    return value


def _named(url: str, before: dict[str, Any]) -> dict[str, Any]:
    """The store that a URL names; what belongs to a store of the same kind stays."""
    kind, _, rest = url.partition("://")
    same = before if before.get("kind") == kind else {}
    if kind == "s3":
        return {**same, "kind": "s3", "url": url}
    claim, _, prefix = rest.partition("/")
    if kind == "pvc":
        return {**same, "kind": "pvc", "claim": claim or None, "prefix": prefix or None}
    if kind == "snapshot" and not prefix:
        return {**same, "kind": "snapshot", "claim": claim or None}
    # Not quoted: it may hold a password.
    raise InvalidConfig(
        "--store is none of the kinds that there are.",
        subject="store",
        hint="Give s3://bucket/prefix, pvc://claim/prefix or snapshot://claim.",
    )


def _kubeconfig_of_the_shell() -> str | None:
    """`$KUBECONFIG` where it names one file: the daemon may be started by another shell."""
    named = os.environ.get("KUBECONFIG", "")
    if not named or os.pathsep in named:
        return None
    return str(Path(named).expanduser().absolute())


def _where(settings: Settings) -> str:
    if settings.in_cluster:
        return "the cluster that this pod runs in"
    file = settings.kubeconfig or "the usual kubeconfig"
    return f"context {settings.context or '(the current one)'} of {file}"
