"""The events that matter, in words, newest first. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from kale_serve_lab.serving.kserve.reading import milliseconds
from kale_serve_lab.serving.kserve.sentences import shortened
from kale_serve_lab.serving.types import Fact

Event = Mapping[str, Any]
MOST = 20

# What every cluster says in passing, and never is a cause.
_NOISE = {
    "MissingClusterDNS",
    "FailedGetResourceMetric",
    "FailedComputeMetricsReplicas",
    "FailedUpdateStatus",
    "UpdateFailed",
    "DNSConfigForming",
    "SandboxChanged",
    "NodeNotSchedulable",
    "TopologyAwareHintsDisabled",
}
# The ordinary steps, which stages tell better.
_STEPS = {"Pulled", "Created", "Started", "SuccessfulCreate", "ScalingReplicaSet", "SuccessfulDelete"}


def is_noise(event: Event) -> bool:
    """Whether it tells nothing of the service: metrics that are not there yet, DNS, writes that met another."""
    return event.get("reason") in _NOISE or "the object has been modified" in str(event.get("message"))


def about(event: Event) -> tuple[str, str]:
    """The kind and name of the object that it is about."""
    found = event.get("involvedObject") or event.get("regarding") or {}
    return str(found.get("kind") or ""), str(found.get("name") or "")


def when(event: Event) -> int:
    """When it last happened, ms; 0 where it does not say."""
    series = event.get("series") or {}
    metadata = event.get("metadata") or {}
    return max(
        milliseconds(series.get("lastObservedTime")),
        milliseconds(event.get("lastTimestamp") or event.get("deprecatedLastTimestamp")),
        milliseconds(event.get("eventTime")),
        milliseconds(event.get("firstTimestamp")),
    ) or milliseconds(metadata.get("creationTimestamp"))


def count(event: Event) -> int:
    """How often it has happened."""
    series = event.get("series") or {}
    return int(event.get("count") or series.get("count") or event.get("deprecatedCount") or 1)


def message(event: Event) -> str:
    """Its text."""
    return str(event.get("message") or event.get("note") or "")


def of(events: Iterable[Event], kind: str, name: str | None, *reasons: str) -> Iterator[Event]:
    """Those about an object (`name` None: any of the kind), with one of the reasons where any is given, newest first."""
    found = [
        event
        for event in events
        if about(event)[0] == kind
        and (name is None or about(event)[1] == name)
        and (not reasons or event.get("reason") in reasons)
        and not is_noise(event)
    ]
    yield from sorted(found, key=when, reverse=True)


def facts(events: Iterable[Event]) -> tuple[Fact, ...]:
    """The same text about several objects is one fact."""
    found: dict[str, Fact] = {}
    for event in events:
        if is_noise(event) or event.get("reason") in _STEPS:
            continue
        kind, name = about(event)
        what = f"{event.get('reason')}: {shortened(message(event))} ({kind.lower()} {name})"
        known = found.get(what)
        found[what] = Fact(
            what,
            max(when(event), known.when if known else 0),
            count(event) + (known.count if known else 0),
        )
    return tuple(sorted(found.values(), key=lambda fact: (-fact.when, fact.what))[:MOST])
