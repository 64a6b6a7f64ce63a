"""The objects that are held to KServe's schemas and to the files in golden/. `python golden.py --write` writes those anew."""

from __future__ import annotations

import sys
from pathlib import Path

from kale_serve_lab.backends.kserve.rows import ROWS
from kale_serve_lab.inference.signature import Signature, TensorSpec
from kale_serve_lab.serving.config import ServeConfig
from kale_serve_lab.serving.kserve.build import ClusterAbout, build, to_yaml
from kale_serve_lab.serving.kserve.features import Features
from kale_serve_lab.serving.kserve.layout import view_of
from kale_serve_lab.serving.kserve.publishing import Placed
from kale_serve_lab.serving.runtimes import CUSTOM, select
from kale_serve_lab.serving.types import ArtifactRef, InferenceService, ServiceKey

FOLDER = Path(__file__).parent / "golden"
VERSIONS = {"0.15": (0, 15), "0.17": (0, 17), "0.20": (0, 20)}
MODES = ("Standard", "Knative")
IMAGE = "registry.example.com/kale-serve:1"
BY_NAME = {row.name: row for row in ROWS}

SIGNATURE = Signature(
    inputs=(TensorSpec("x", "FP64", (-1, 2)),),
    outputs=(TensorSpec("predict", "INT64", (-1,)),),
    layout="tensor",
    input_example=[[1.0, 2.0]],
)

# The rows of the guide's table: format, protocol, runtime (None: the one that KServe chooses).
TABLE = (
    ("sklearn", "v1", None),
    ("sklearn", "v2", None),
    ("sklearn", "v2", "kserve-sklearnserver"),
    ("xgboost", "v1", None),
    ("xgboost", "v2", None),
    ("lightgbm", "v1", None),
    ("lightgbm", "v2", None),
    ("pytorch", "v1", None),
    ("pytorch", "v2", None),
    ("tensorflow", "v1", None),
    ("tensorflow", "v2", None),
    ("tensorflow", "grpc-v1", None),
    ("onnx", "v2", None),
    ("onnx", "grpc-v2", None),
    ("pmml", "v1", None),
    ("pmml", "v2", None),
    ("mlflow", "v2", None),
    ("python", "v1", None),
    ("python", "v2", None),
    ("python", "grpc-v2", None),
)

CONTAINER = {"name": "mine", "image": "example.com/mine:2", "command": ["serve"], "args": ["--port=8080"]}
# What ServeConfig adds, by name; over sklearn and v1 unless it says otherwise.
CONFIGS = {
    "env-dict": {"env": {"A": "1", "B": "two"}},
    "env-list": {
        "env": [
            {"name": "A", "value": "1"},
            {"name": "B", "value_from": {"secret_key_ref": {"name": "s", "key": "k"}}},
            {"name": "C", "valueFrom": {"configMapKeyRef": {"name": "c", "key": "k", "optional": True}}},
        ],
        "env_from": [{"config_map_ref": {"name": "c"}}, {"secretRef": {"name": "s", "optional": True}}],
    },
    "resources": {
        "requests": {"cpu": "500m", "memory": "1Gi"},
        "limits": {"cpu": 2, "memory": "4Gi", "nvidia.com/gpu": 1},
        "predictor": {"limits": {"memory": "8Gi"}},
    },
    "metadata": {"labels": {"team": "a"}, "annotations": {"example.com/why": "because: {{x}}"}},
    "placement": {
        "node_selector": {"pool": "gpu"},
        "tolerations": [
            {"key": "gpu", "operator": "Exists", "effect": "NoSchedule", "toleration_seconds": 5}
        ],
        "affinity": {
            "node_affinity": {
                "required_during_scheduling_ignored_during_execution": {
                    "node_selector_terms": [
                        {"match_expressions": [{"key": "zone", "operator": "In", "values": ["a"]}]}
                    ]
                }
            },
            "podAntiAffinity": {
                "preferredDuringSchedulingIgnoredDuringExecution": [
                    {
                        "weight": 1,
                        "podAffinityTerm": {
                            "topologyKey": "kubernetes.io/hostname",
                            "labelSelector": {"matchLabels": {"app_name": "x"}},
                        },
                    }
                ]
            },
        },
        "service_account": "reader",
    },
    "scaling": {"min_replicas": 1, "max_replicas": 4, "scale_target": 70, "timeout": 60.5},
    "batcher": {"batcher": {"max_batch_size": 16, "maxLatency": 500, "timeout": 60}},
    "logger": {"logger": {"url": "http://sink.example.com", "mode": "all"}},
    "container-with-model": {"predictor": {"container": CONTAINER}},
    "container-alone": {"predictor": {"container": CONTAINER, "limits": {"memory": "1Gi"}}},
    "transformer": {"env": {"A": "1"}, "transformer": {"limits": {"cpu": "1"}}},
    "transformer-container": {"transformer": {"container": {"image": "example.com/t:1", "env": {"T": "1"}}}},
    "explainer": {"explainer": {"container": {"image": "example.com/e:1"}, "min_replicas": 1}},
    "storage": {"storage": {"key": "credentials", "path": "models/a", "parameters": {"bucket_name": "b"}}},
    "storage-uri": {"storage": {"uri": "gs://bucket/model"}},
    "pod-fields": {
        "predictor": {
            "args": ["--workers=2"],
            "image_pull_policy": "Always",
            "runtime_version": "1.0",
            "volumes": [{"name": "v", "empty_dir": {}}],
            "volume_mounts": [{"name": "v", "mount_path": "/v"}],
            "security_context": {"run_as_user": 1000},
            "container_concurrency": 4,
            "termination_grace_period_seconds": 30,
            "labels": {"a_b": "c"},
        }
    },
    "pod-defaults": {"env": {"KEPT": "ours"}},
}
# What each mode's autoscaler counts.
METRIC = {"Standard": "cpu", "Knative": "concurrency"}
CANARY = {
    "Knative": {"traffic_percent": 10},
    "Standard": [
        {"trafficPercent": 20, "predictor": {"name": "v2", "storage_uri": "s3://models/other"}},
        {"percent": 10, "predictor": {"limits": {"memory": "2Gi"}, "env": {"NEW": "1"}}},
    ],
}
POD_DEFAULTS = (
    {
        "metadata": {"name": "token"},
        "spec": {
            "selector": {"matchLabels": {"token": "true"}},
            "env": [{"name": "TOKEN_PATH", "value": "/var/run/t"}, {"name": "KEPT", "value": "theirs"}],
            "envFrom": [{"secretRef": {"name": "more"}}],
            "volumes": [{"name": "t", "projected": {"sources": [{"serviceAccountToken": {"path": "t"}}]}}],
            "volumeMounts": [{"name": "t", "mountPath": "/var/run/t", "readOnly": True}],
            "labels": {"token": "true"},
            "annotations": {"sidecar.istio.io/inject": "false"},
            "tolerations": [{"key": "notebooks", "operator": "Exists"}],
            "imagePullSecrets": [{"name": "pull"}],
            "serviceAccountName": "default-editor",
            "command": ["jupyter"],
        },
    },
)


def artifact(framework="sklearn", kind="kale.Model", name="iris"):
    digest = ("a" if kind == "kale.Model" else "b") * 64
    class_name = "sklearn.ensemble.RandomForestClassifier" if framework == "sklearn" else None
    return ArtifactRef(1, kind, name, "1.0", f"local:{digest}", digest, framework, class_name, SIGNATURE)


def service(framework="sklearn", protocol="v1", runtime=None, config=None, *, model=True, transformer=False):
    config = ServeConfig(**(config or {}))
    if config.container("predictor"):
        runtime = CUSTOM
    elif runtime is None:
        runtime = select(framework, protocol, None, ROWS).name
    return InferenceService(
        ServiceKey("team-a", "iris"),
        3,
        artifact(framework) if model else None,
        artifact(None, "kale.Transformer", "words") if transformer else None,
        config,
        runtime,
        protocol,
        0,
        0,
        target="kserve",
    )


def placed(asked):
    found = {}
    for component, one in (("predictor", asked.model), ("transformer", asked.transformer)):
        if one is not None:
            uri = f"s3://models/{one.digest}/{view_of(asked, component)}"
            found[component] = Placed(uri, "s3-secret", "kale-models")
    return found


def about(version, **more):
    return ClusterAbout(Features.of(version), IMAGE, "team-a", **more)


def built(asked, of):
    return build(asked, BY_NAME.get(asked.runtime), placed(asked), of)


def cases():
    """(version, path below the folder, service, about) of each."""
    for version, number in VERSIONS.items():
        for mode in MODES:
            for framework, protocol, runtime in TABLE:
                asked = service(framework, protocol, runtime, {"deployment_mode": mode})
                name = f"{framework}-{protocol}-{asked.runtime}"
                yield version, f"{version}/{mode}/{name}.yaml", asked, about(number)
            for name, config in CONFIGS.items():
                metric = {"scale_metric": METRIC[mode]} if name == "scaling" else {}
                asked = service(
                    config=config | metric | {"deployment_mode": mode},
                    model=name != "container-alone",
                    transformer=name in ("transformer", "pod-defaults"),
                )
                more = {"pod_defaults": POD_DEFAULTS} if name == "pod-defaults" else {}
                yield version, f"{version}/{mode}/{name}.yaml", asked, about(number, **more)
            if mode == "Knative" or number >= (0, 20):
                for framework in ("sklearn", "python"):
                    asked = service(framework, config={"canary": CANARY[mode], "deployment_mode": mode})
                    path = f"{version}/{mode}/canary-{asked.runtime}.yaml"
                    yield version, path, asked, about(number)


def write():
    kept = set()
    for _, path, asked, of in cases():
        target = FOLDER / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(to_yaml(built(asked, of)))
        kept.add(target)
    for old in set(FOLDER.rglob("*.yaml")) - kept:
        old.unlink()
    return len(kept)


if __name__ == "__main__":
    if sys.argv[1:] != ["--write"]:
        sys.exit("python tests/serving/kserve/golden.py --write")
    print(write(), "objects written")
