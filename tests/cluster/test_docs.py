"""docs/cluster.md: its Roles are exactly what is asked for, its commands run, its objects are objects."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from kale_serve_lab.backends.kserve.access import Rights, rights_of
from kale_serve_lab.backends.kserve.connect import connect
from kale_serve_lab.backends.kserve.settings import Settings, StoreSettings, from_json

PAGE = (Path(__file__).parents[2] / "docs" / "cluster.md").read_text()
ENTRY = [sys.executable, "-c", "import sys; from kale_serve_lab.cli import main; sys.exit(main())"]


def blocks(kind):
    return re.findall(rf"^```{kind}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


OBJECTS = [one for text in blocks("yaml") for one in yaml.safe_load_all(text)]
ROLES = {one["metadata"]["name"]: one for one in OBJECTS if one["kind"] in ("Role", "ClusterRole")}
STORES = {
    "pvc": StoreSettings("pvc", claim="workspace", mounted="/home/jovyan"),
    "snapshot": StoreSettings("snapshot", claim="workspace", mounted="/home/jovyan"),
    "s3": StoreSettings("s3", url="s3://models/kale"),
}
GIVEN = {
    "s3": ("kale-serve", "kale-serve-runtimes", "kale-serve-tokens"),
    "pvc": ("kale-serve", "kale-serve-runtimes", "kale-serve-volume", "kale-serve-tokens"),
    "snapshot": (
        *("kale-serve", "kale-serve-runtimes", "kale-serve-volume"),
        *("kale-serve-snapshots", "kale-serve-tokens"),
    ),
}


def granted(names):
    return [
        (name, verb, group, resource)
        for name in names
        for rule in ROLES[name]["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    ]


def right(verb, group, resource):
    return f"{verb} {resource}.{group}" if group else f"{verb} {resource}"


def used(kind):
    return {right(one.verb, one.resource.group, one.name) for one in rights_of(STORES[kind], tokens=True)}


@pytest.mark.parametrize("kind", sorted(STORES))
def test_the_roles_grant_what_is_used_and_nothing_else(kind):
    given = [right(verb, group, resource) for _, verb, group, resource in granted(GIVEN[kind])]
    assert set(given) == used(kind)
    assert len(given) == len(set(given))


def test_what_is_of_the_cluster_is_granted_on_the_cluster():
    for one in rights_of(STORES["snapshot"], tokens=True):
        (role,) = {
            name
            for name, verb, group, resource in granted(GIVEN["snapshot"])
            if (verb, group, resource) == (one.verb, one.resource.group, one.name)
        }
        assert ROLES[role]["kind"] == ("Role" if one.resource.namespaced else "ClusterRole")


@pytest.fixture
def reader(fake, tmp_path):
    """A user who has the page's Roles; `give` and `take` change them."""
    fake.deny("*", "*")
    # What every authenticated user has (system:basic-user), and what `check` looks at besides.
    fake.allow("create", "selfsubjectaccessreviews")

    class Reader:
        settings = Settings(kubeconfig=str(fake.kubeconfig(tmp_path / "config")))

        def give(self, names):
            for name, verb, group, resource in granted(names):
                namespace = None if ROLES[name]["kind"] == "ClusterRole" else "default"
                fake.allow(verb, resource, group=group, namespace=namespace)

        def checked(self):
            cluster = connect(self.settings)
            try:
                return Rights(cluster, rights_of(STORES["snapshot"], tokens=True)).findings("default")
            finally:
                cluster.close()

    return Reader()


def test_with_these_roles_nothing_lacks_and_without_each_rule_its_sentence_is_said(fake, reader):
    reader.give(GIVEN["snapshot"])
    assert reader.checked() == []
    for _, verb, group, resource in granted(GIVEN["snapshot"]):
        fake.deny(verb, resource, group=group)
        (finding,) = reader.checked()
        assert finding.message.startswith(f"You may not {verb} {resource}")
        assert resource in finding.fix
        assert f'"{verb}"' in finding.fix or verb in finding.fix
        fake.allow(verb, resource, group=group)


def commands():
    return [
        line
        for text in blocks("bash")
        for line in text.splitlines()
        if line.startswith("kale-serve cluster set")
    ]


def test_the_commands_are_taken_one_after_the_other(fake, home, tmp_path):
    kubeconfig = yaml.safe_load(Path(fake.kubeconfig(tmp_path / "config")).read_text())
    # The context has the name that the page gives it.
    kubeconfig["contexts"][0]["name"] = "kubeflow"
    kubeconfig["current-context"] = "kubeflow"
    path = tmp_path / "kubeflow"
    path.write_text(yaml.safe_dump(kubeconfig))
    environ = {name: value for name, value in os.environ.items() if not name.startswith("KALE_SERVE_K")}
    assert len(commands()) >= 5
    for command in commands():
        done = subprocess.run(
            [*ENTRY, *shlex.split(command)[1:]],
            env=environ | {"KUBECONFIG": str(path)},
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, (command, done.stderr)
    settings = from_json(json.loads((home / "data" / "cluster.json").read_text()))
    assert settings.context == "kubeflow"
    assert settings.store.kind == "snapshot"
    assert settings.image == "registry.example.org/kale-serve:1"
    assert settings.audience == "istio-ingressgateway.istio-system.svc.cluster.local"


def test_the_bucket_s_objects_are_what_the_commands_name(fake):
    (secret,) = [one for one in OBJECTS if one["kind"] == "Secret"]
    (account,) = [one for one in OBJECTS if one["kind"] == "ServiceAccount"]
    for one in (secret, account):
        fake.put(one)
    first = commands()[0]
    assert f"--secret {secret['metadata']['name']} " in first
    assert f"--service-account {account['metadata']['name']}" in first
    assert {"name": secret["metadata"]["name"]} in account["secrets"]


def test_the_python_of_the_page_compiles_and_calls_what_there_is():
    import inspect

    from kale_serve_lab import Endpoint, serve

    for text in blocks("python"):
        compile(text, "cluster.md", "exec")
    called = set(
        re.findall(
            r"(\w+)=",
            " ".join(line for text in blocks("python") for line in text.splitlines() if "(" in line),
        )
    )
    known = set(inspect.signature(serve).parameters) | set(inspect.signature(Endpoint).parameters)
    assert called - {"isvc", "draft", "model"} <= known


def test_links_lead_somewhere():
    docs = Path(__file__).parents[2] / "docs"
    headings = {
        re.sub(r"[^a-z0-9 -]", "", title.lower()).replace(" ", "-")
        for title in re.findall(r"^#+ (.*)$", PAGE, re.MULTILINE)
    }
    for target in re.findall(r"\]\(([^)]+)\)", PAGE):
        if target.startswith("#"):
            assert target[1:] in headings
        elif not target.startswith("http"):
            assert (docs / target).is_file()
