"""Kubernetes' own texts in plain words. Pure: a text in, what happened and what to do out. Unknown texts are quoted, shortly."""

from __future__ import annotations

import re
from collections.abc import Sequence

LONGEST = 240
_UNITS = {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}

Words = tuple[str, str]  # the sentence, and the next step


def shortened(text: object, longest: int = LONGEST) -> str:
    """In one line, and not longer."""
    line = " ".join(str(text or "").split())
    return line if len(line) <= longest else line[: longest - 1].rstrip() + "…"


def counted(number: int, thing: str) -> str:
    """As in "1 node", "3 nodes"."""
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"


def percent(part: object) -> str:
    """As in "20 %"."""
    return f"{part} %"


def quantity(text: str) -> str:
    """A quantity as people write it: 16Gi is 16 GiB, 250m CPU stays."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([KMGT]i?|k)?", text.strip())
    if found is None or not found[2]:
        return text
    unit = found[2] + "B" if found[2] != "k" else "kB"
    return f"{found[1]} {unit}"


def amount(text: object) -> float:
    """A quantity's number in bytes or pieces; 0.0 where it is none."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)(m|[KMGT]i?|k)?", str(text or "").strip())
    if found is None:
        return 0.0
    return float(found[1]) * (0.001 if found[2] == "m" else _UNITS.get(found[2] or "", 1))


# -- scheduling


def unschedulable(message: str, requests: dict[str, str], claims: Sequence[str], namespace: str) -> Words:
    """What the scheduler says. `requests` are the pod's, by resource; `claims` the volume claims it mounts."""
    missing = re.search(r'persistentvolumeclaim "([^"]+)" not found', message)
    if missing:
        return (
            f"The claim {missing[1]} does not exist in the namespace {namespace}.",
            "Make the PersistentVolumeClaim, or serve from another storage URI.",
        )
    gone = re.search(r'persistentvolumeclaim "([^"]+)" is being deleted', message)
    if gone:
        return (f"The claim {gone[1]} is being deleted.", "Serve from another storage URI.")
    if "unbound immediate PersistentVolumeClaims" in message:
        which = f" {' and '.join(claims)}" if claims else ""
        return (
            f"The claim{which} has no volume yet.",
            f"`kubectl -n {namespace} describe pvc{which.replace(' and', '')}` says what it waits for: a storage class, or room.",
        )
    clauses = _clauses(message)
    lacking = [(what, count) for what, count in clauses if what.startswith("Insufficient ")]
    if lacking:
        return _lacking(lacking, clauses, requests)
    words = [said for what, count in clauses if (said := _clause(what, count))]
    if words:
        return (f"No node takes the pod: {', '.join(words)}.", _step(message))
    return (
        f"No node takes the pod: {shortened(message)}",
        "Ask for less, or ask who runs the cluster for a node that fits.",
    )


def _clauses(message: str) -> list[tuple[str, int]]:
    """As in "0/3 nodes are available: 2 Insufficient memory, 1 node(s) had untolerated taint {a: b}. preemption: …"."""
    head = re.sub(r"^\s*\d+/\d+ nodes are available:\s*", "", message)
    head = re.split(r"\.?\s*(?:no new claims to deallocate|preemption:)", head)[0].rstrip(". ,")
    parts = re.split(r",\s*(?=\d+ )", head)
    return [(found[2], int(found[1])) for part in parts if (found := re.match(r"(\d+) (.+)", part.strip()))]


def _lacking(
    lacking: list[tuple[str, int]], clauses: list[tuple[str, int]], requests: dict[str, str]
) -> Words:
    names, said = [], []
    for what, _ in lacking:
        resource = what.removeprefix("Insufficient ")
        asked = requests.get(resource)
        if resource in ("memory", "ephemeral-storage"):
            kind = "" if resource == "memory" else " of disk"
            names.append(f"{quantity(asked)}{kind} free" if asked else f"enough {resource} free")
        elif resource == "cpu":
            names.append(f"{asked} CPU free" if asked else "enough CPU free")
        else:
            names.append(f"{asked or 'enough'} {resource} free")
    nodes = max(count for _, count in lacking)
    said.append(f"{counted(nodes, 'node')} {'is' if nodes == 1 else 'are'} too small or too full")
    said += [
        words
        for what, count in clauses
        if not what.startswith("Insufficient ") and (words := _clause(what, count))
    ]
    return (
        f"No node has {' and '.join(names)}: {', '.join(said)}.",
        "Ask for less in serve_config's resources, free something, or ask who runs the cluster for a bigger node.",
    )


def _clause(what: str, count: int) -> str:
    nodes = counted(count, "node")
    have = "has" if count == 1 else "have"
    taint = re.search(r"(?:untolerated taints?|had taint) \{([^}]*)\}", what)
    if taint:
        key = taint[1].rstrip(": ").strip()
        if "not-ready" in key or "unreachable" in key:
            return f"{nodes} {'is' if count == 1 else 'are'} not ready"
        return f"{nodes} {have} the taint {key}, which the pod does not tolerate"
    if "node affinity/selector" in what or "node selector" in what or "didn't match node" in what:
        return f"{nodes} {'does' if count == 1 else 'do'} not match the node selector or affinity"
    if "volume node affinity conflict" in what:
        return f"{nodes} cannot reach the volume"
    if what.startswith("Too many pods"):
        return f"{nodes} {have} no room for another pod"
    if "unschedulable" in what:
        return f"{nodes} {'is' if count == 1 else 'are'} closed to new pods"
    return f"{nodes}: {shortened(what.removeprefix('node(s) '), 80)}"


def _step(message: str) -> str:
    if "taint" in message:
        return "Add the toleration to serve_config, or ask who runs the cluster for a node without the taint."
    if "affinity" in message or "selector" in message:
        return "Correct node_selector or affinity in serve_config: `kubectl get nodes --show-labels` shows what nodes have."
    return "Ask who runs the cluster for a node that fits."


# -- images


def unpullable(image: str, message: str, service_account: str | None = None) -> tuple[str, str, bool]:
    """Why an image cannot be pulled, the next step, and whether trying again may help by itself."""
    text = message.lower()
    head = f"The image {image} cannot be pulled"
    if "invalidimagename" in text or "couldn't parse image" in text or "invalid reference format" in text:
        return f"The image name {image} is none.", "Correct the image in serve_config.", False
    if "toomanyrequests" in text or "too many requests" in text or "rate limit" in text:
        return (
            f"{head}: its registry has had too many requests.",
            "It is tried again by itself; a pull secret usually raises the limit.",
            True,
        )
    if "imagenevepull" in text or "errimageneverpull" in text or "not present with pull policy" in text:
        return (
            f"The image {image} is not on the node, and may not be pulled.",
            "Set image_pull_policy to IfNotPresent.",
            False,
        )
    if _any(text, "no match for platform", "no matching manifest for"):
        return (
            f"The image {image} is not made for this kind of node.",
            "Build it for the nodes' architecture.",
            False,
        )
    if "insufficient_scope" in text or "authorization failed" in text or "pull access denied" in text:
        return (
            f"{head} (it does not exist, or needs a pull secret).",
            _secret(image, service_account),
            False,
        )
    if _any(
        text,
        "unauthorized",
        "401 ",
        "403 ",
        "forbidden",
        "authentication required",
        "no basic auth",
        "denied",
    ):
        return f"{head}: its registry wants a login (a pull secret).", _secret(image, service_account), False
    if _any(
        text,
        "no such host",
        "i/o timeout",
        "connection refused",
        "connection reset",
        "tls handshake",
        "no route to host",
        "deadline exceeded",
        "x509",
        "server gave http response",
    ):
        cause = _network(text)
        registry = re.search(r"https?://([^/\"]+)/v2", message)
        where = f"the registry {registry[1]}" if registry else "its registry"
        return (
            f"{head}: {where} {cause}.",
            "Check the image's name; else its registry, and the nodes' way to it.",
            False,
        )
    if _any(text, "not found", "manifest unknown", "does not exist", "name unknown"):
        return f"{head} (it does not exist, or needs a pull secret).", _secret(image, service_account), False
    quoted = f": {shortened(message)}" if message else " (it does not exist, or needs a pull secret)."
    return f"{head}{quoted}", "Check the image's name, and whether its registry needs a pull secret.", False


def _network(text: str) -> str:
    for sign, words in (
        ("no such host", "has no address"),
        ("connection refused", "refuses the connection"),
        ("x509", "has a certificate that the node does not trust"),
        ("http response to https", "speaks HTTP, not HTTPS"),
    ):
        if sign in text:
            return words
    return "does not answer the node"


def _secret(image: str, account: str | None) -> str:
    return (
        f"Check the name and tag of {image}; a private registry needs a pull secret in the service account "
        f"{account or 'default'}."
    )


# -- ends of containers and of the storage initializer


def storage(lines: Sequence[str], uri: str | None) -> Words | None:
    """Why the storage initializer did not fetch the model, from the end of its log; None where it does not say."""
    text = "\n".join(lines)
    where = uri or "the storage URI"
    if _any(
        text,
        "InvalidAccessKeyId",
        "SignatureDoesNotMatch",
        "AccessDenied",
        "(403)",
        "403 Forbidden",
        "ExpiredToken",
        "Access Denied",
    ):
        return (
            f"The bucket refused the key: {where} cannot be read.",
            "Check the Secret of the service's service account, and what its key may read.",
        )
    if _any(
        text,
        "NoCredentialsError",
        "Unable to locate credentials",
        "could not find default credentials",
        "DefaultCredentialsError",
    ):
        return (
            f"The bucket was given no key: {where} cannot be read.",
            "Name a service account with the bucket's Secret: `kale-serve cluster set --service-account …`.",
        )
    if _any(text, "NoSuchBucket", "The specified bucket does not exist"):
        return f"The bucket of {where} does not exist.", "Correct the storage URI, or make the bucket."
    if _any(
        text,
        "EndpointConnectionError",
        "Could not connect to the endpoint",
        "ConnectTimeoutError",
        "Name or service not known",
        "Max retries exceeded",
        "Connection refused",
    ):
        return (
            f"The store of {where} does not answer the cluster.",
            "Check the endpoint in the Secret's annotation serving.kubeflow.org/s3-endpoint, as seen from a pod.",
        )
    if _any(
        text,
        "No model found",
        "Failed to fetch model",
        "does not exist",
        "NoSuchKey",
        "(404)",
        "Not Found",
        "FileNotFoundError",
    ):
        return (
            f"There is no model at {where}.",
            "Correct the storage URI, or publish the model anew by serving it.",
        )
    if "No space left on device" in text:
        return (
            f"The model at {where} does not fit on the node's disk.",
            "Ask for more ephemeral-storage in resources.",
        )
    return None


_MODEL_FILE = re.compile(
    r"Missing Model File|MissingModelFile|Missing .*model file|No model file|More than one model file|ModelMissingError"
    r"|does not contain.{0,40}(?:model|file)|InvalidModelError|FileNotFoundError.{0,160}/mnt/models",
    re.IGNORECASE,
)


def no_model_file(lines: Sequence[str]) -> bool:
    """Whether a model server's log says that it found no file to load."""
    return any(_MODEL_FILE.search(line) for line in lines)


def last_line(lines: Sequence[str]) -> str:
    """The last line that says something: a traceback's own last line rather than what follows it."""
    said = [line.strip() for line in lines if line.strip()]
    errors = [line for line in said if re.match(r"[\w.]*(?:Error|Exception|Killed)\b", line)]
    return shortened(errors[-1] if errors else said[-1]) if said else ""


def exit_words(code: object, signal: object = None) -> str:
    """A status in words: "exit 1", "killed by signal 11"."""
    try:
        number = int(str(code))
    except ValueError:
        return "it ended"
    if signal or number > 128:
        return f"exit {number}, signal {signal or number - 128}"
    return f"exit {number}"


# -- what could not be made


def not_made(message: str, namespace: str) -> Words:
    """Why a pod, or what makes it, was not created."""
    quota = re.search(r"exceeded quota: ([^,]+), requested: (.+?), used: (.+?), limited: (.+)", message)
    if quota:
        return (
            f"The quota {quota[1]} of the namespace {namespace} is used up: {quota[2]} is asked for, {quota[3]} is used of {quota[4].rstrip('.')}.",
            "Ask for less, delete or pause another service, or ask for a larger quota.",
        )
    must = re.search(r"failed quota: ([^:]+): must specify (.+)", message)
    if must:
        return (
            f"The quota {must[1]} of the namespace {namespace} wants every pod to say {shortened(must[2], 120)}.",
            "Say it in serve_config's resources.",
        )
    account = re.search(r'serviceaccount "([^"]+)" not found', message)
    if account:
        return (
            f"The service account {account[1]} does not exist in the namespace {namespace}.",
            "Make it, or name another in serve_config.",
        )
    webhook = re.search(r'admission webhook "([^"]+)" denied the request: ?(.*)', message, re.DOTALL)
    if webhook:
        return (
            f"The cluster's admission rule {webhook[1]} denies it: {shortened(webhook[2])}",
            "Change what it names, or ask who runs the cluster.",
        )
    failing = re.search(r'failed calling webhook "([^"]+)"', message)
    if failing:
        return (
            f"The cluster's webhook {failing[1]} does not work: {shortened(message.rsplit(': ', 1)[-1], 120)}",
            "Ask who runs the cluster to look at it; it is tried again by itself.",
        )
    if "violates PodSecurity" in message:
        return (
            f"The namespace {namespace} forbids such pods: {shortened(message[message.index('violates PodSecurity') :])}",
            "Set a security context that its Pod Security level allows.",
        )
    return f"Its pods cannot be made: {shortened(message)}", "Change what the text names, and serve it again."


def unmountable(message: str, namespace: str) -> Words:
    """Why a volume is not there for the pod."""
    found = re.search(r'(secret|configmap) "([^"]+)" not found', message)
    if found:
        kind = "Secret" if found[1] == "secret" else "ConfigMap"
        return (
            f"The {kind} {found[2]} does not exist in the namespace {namespace}.",
            f"Make it there: `kubectl -n {namespace} get {found[1]}s` shows what there is.",
        )
    key = re.search(r"references non-existent secret key: (\S+)", message)
    if key:
        return f"A Secret that the pod mounts has no key {key[1]}.", "Add the key to the Secret."
    return f"A volume cannot be mounted: {shortened(message)}", "Mend the volume that the text names."


def too_long(name: str, namespace: str, message: str) -> Words:
    """A host name of more than 63 letters, from the text that KServe quotes it in."""
    found = re.search(r'Invalid value: "([^"]+)"', message) or re.search(
        r'invalid domain name "([^".]+)', message
    )
    host = found[1] if found else f"{name}-predictor-{namespace}"
    most = 63 - (len(host) - len(name))
    return (
        f"The host name {host} is longer than 63 letters: choose a name at most {most} letters long.",
        f"Serve it under a name of at most {most} letters.",
    )


def _any(text: str, *signs: str) -> bool:
    return any(sign in text for sign in signs)
