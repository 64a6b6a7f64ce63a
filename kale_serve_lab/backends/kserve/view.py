"""What the cluster has of each service: its object, its pods, the events about them, and the ends of their logs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from kale_serve_lab.backends.kserve.resources import EVENTS, INFERENCE_SERVICES, PODS, Resource
from kale_serve_lab.backends.kserve.watch_rules import WatchState
from kale_serve_lab.backends.kserve.watches import Subscription, Watches
from kale_serve_lab.backends.kserve.watching import Event
from kale_serve_lab.serving.types import ServiceKey

SERVICE_LABEL = "serving.kserve.io/inferenceservice"
_COMPONENTS = ("-predictor", "-transformer", "-explainer")


@dataclass
class View:
    """One service. `listed`: the cluster has told all its objects, so one that is not there is not there.

    `tails` are the last lines of logs, by "pod/container".
    """

    object: dict[str, Any] | None = None
    listed: bool = False
    tails: dict[str, tuple[str, ...]] = field(default_factory=dict)
    _pods: dict[str, dict[str, Any]] = field(default_factory=dict)
    _events: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def pods(self) -> tuple[dict[str, Any], ...]:
        """Those that are there, by name."""
        return tuple(self._pods[name] for name in sorted(self._pods))

    @property
    def events(self) -> tuple[dict[str, Any], ...]:
        """About the service, its pods and what makes them."""
        return tuple(self._events.values())

    @property
    def empty(self) -> bool:
        """Whether nothing is there."""
        return self.object is None and not self._pods

    def put(self, live: dict[str, Any]) -> None:
        """What the API server has just answered, where the watch has not told something newer."""
        if self.object is None or _version(self.object) <= _version(live):
            self.object = live

    def take(self, resource: Resource, event: Event) -> None:
        """One piece of news."""
        name = str(event.object["metadata"]["name"])
        gone = event.type == "DELETED"
        if resource is INFERENCE_SERVICES:
            if gone:
                self.object = None
            elif self.object is None or _version(self.object) <= _version(event.object):
                self.object = event.object
            return
        kept = self._pods if resource is PODS else self._events
        if gone:
            kept.pop(name, None)
        else:
            kept[name] = event.object


class NamespaceView:
    """All services of one namespace, by three watches. `changed` is called with the service's name, or None for all."""

    def __init__(
        self, watches: Watches, namespace: str, changed: Callable[[ServiceKey | None], None]
    ) -> None:
        self.namespace = namespace
        self._changed = changed
        self._views: dict[str, View] = {}
        self._subscriptions: dict[Resource, Subscription] = {}
        for resource in (INFERENCE_SERVICES, PODS, EVENTS):
            self._subscriptions[resource] = watches.subscribe(
                resource,
                namespace,
                lambda event, resource=resource: self._take(resource, event),  # type: ignore[misc]
                lambda state, resource=resource: self._state(resource, state),  # type: ignore[misc]
                selector={"labelSelector": SERVICE_LABEL} if resource is PODS else None,
            )

    def view(self, name: str) -> View:
        """What is there of this service."""
        found = self._views.get(name)
        if found is None:
            found = self._views[name] = View(listed=self._listed)
        return found

    def names(self) -> list[str]:
        """The services that have an object."""
        return [name for name, view in self._views.items() if view.object is not None]

    @property
    def stale_since(self) -> int | None:
        """Since when the API server has not told of services."""
        return self._subscriptions[INFERENCE_SERVICES].state.stale_since

    @property
    def lacks(self) -> tuple[str, ...]:
        """What we may not see."""
        found = []
        for resource, subscription in self._subscriptions.items():
            if subscription.state.phase == "forbidden":
                found.append(f"list {resource.plural}")
        return tuple(found)

    def close(self) -> None:
        """Look no longer."""
        for subscription in self._subscriptions.values():
            subscription.close()

    @property
    def _listed(self) -> bool:
        return self._subscriptions[INFERENCE_SERVICES].state.phase == "live" if self._subscriptions else False

    def _take(self, resource: Resource, event: Event) -> None:
        name = service_of(resource, event.object)
        if name is None:
            return
        view = self.view(name)
        view.take(resource, event)
        self._changed(ServiceKey(self.namespace, name))

    def _state(self, resource: Resource, state: WatchState) -> None:
        if resource is INFERENCE_SERVICES and state.phase == "live":
            for view in self._views.values():
                view.listed = True
        self._changed(None)


def service_of(resource: Resource, found: Mapping[str, Any]) -> str | None:
    """The name of the service that an object belongs to."""
    metadata = found["metadata"]
    if resource is INFERENCE_SERVICES:
        return str(metadata["name"])
    if resource is PODS:
        name = (metadata.get("labels") or {}).get(SERVICE_LABEL)
        return str(name) if name else None
    about = found.get("involvedObject") or found.get("regarding") or {}
    name = str(about.get("name") or "")
    if about.get("kind") == INFERENCE_SERVICES.kind:
        return name or None
    ends = [at for part in _COMPONENTS if (at := name.find(part)) > 0]
    return name[: min(ends)] if ends else None


def _version(found: Mapping[str, Any]) -> int:
    value = str((found.get("metadata") or {}).get("resourceVersion") or "")
    # Every API server of Kubernetes counts; where one does not, the later news wins.
    return int(value) if value.isdecimal() else 0


def containers(pod: Mapping[str, Any]) -> Iterator[str]:
    """The containers whose logs tell of the model, the server first."""
    spec = pod.get("spec") or {}
    names = [str(one.get("name")) for one in spec.get("containers") or ()]
    yield from sorted(names, key=lambda name: (name != "kserve-container", name))
