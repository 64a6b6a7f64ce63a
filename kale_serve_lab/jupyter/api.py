"""The daemon's table of calls, as handlers: check the name, hand on, hand back."""

from __future__ import annotations

import re
from urllib.parse import quote

from kale_serve_lab.client.start import running
from kale_serve_lab.client.version import own_version
from kale_serve_lab.errors import InvalidRequest, KaleServeError
from kale_serve_lab.jupyter import kernel_path
from kale_serve_lab.jupyter.base import KaleHandler, permitted, unreadable
from kale_serve_lab.jupyter.forward import Reply, forward
from kale_serve_lab.serving.names import DEFAULT_NAMESPACE, check_service_name

MAX_REF = 500
# Which endpoint of a name is meant; without them the one of this machine, where there is one.
PLACE = ("namespace", "target")
_TARGET = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_ENVIRONMENT = re.compile(r"[a-z0-9][a-z0-9-]{0,99}")


class ApiHandler(KaleHandler):
    """A call that the daemon answers."""

    async def hand_on(self, path: str, *names: str, body: bytes | None = None) -> None:
        """Give the daemon's answer to this call; `names` are the query parameters that it takes."""
        assert self.request.method is not None
        query = [
            (name, self.get_query_argument(name)) for name in names if name in self.request.query_arguments
        ]
        reply = await forward(self.kale.client, self.request.method, path, query, body)
        self.kale.events.wake()
        self.answer(reply)

    def answer(self, reply: Reply) -> None:
        """Send what the daemon said."""
        self.set_status(reply.status)
        if reply.status == 204:
            self.clear_header("Content-Type")
            self.finish()
        else:
            self.finish(reply.body, set_content_type=reply.content_type)


def artifact_path(ref: str) -> str:
    """The daemon's path for an id, `name:version` or `name`. Raises `InvalidRequest` for what can be none of them."""
    if (
        not ref
        or len(ref) > MAX_REF
        or ref in (".", "..")
        or any(c in "/\\" or not c.isprintable() for c in ref)
    ):
        raise InvalidRequest(f"{ascii(ref)[:80]} is no artifact's id, name or name:version.")
    return f"/api/artifacts/{quote(ref, safe='')}"


def service_path(name: str, namespace: str = DEFAULT_NAMESPACE) -> str:
    """The daemon's path for an endpoint. Raises `InvalidName`."""
    return f"/api/services/{check_service_name(name, namespace)}"


class NamedHandler(ApiHandler):
    """A call that names an endpoint, and may say by its query which one of that name is meant."""

    def named(self, name: str) -> str:
        """The daemon's path for it. Raises `InvalidName`, and `InvalidRequest` for a target that can be none's name."""
        target = self.get_query_argument("target", "")
        if target and not _TARGET.fullmatch(target):
            raise InvalidRequest(f"{ascii(target)[:80]} is no target's name.", subject=name)
        return service_path(name, self.get_query_argument("namespace", "") or DEFAULT_NAMESPACE)


def environment_path(name: str) -> str:
    """The daemon's path for an environment. Raises `InvalidRequest` for what can be none's name."""
    if not _ENVIRONMENT.fullmatch(name):
        raise InvalidRequest(f"{ascii(name)[:80]} is no environment's name.")
    return f"/api/environments/{name}"


class HealthHandler(KaleHandler):
    """Whether the daemon is there."""

    @permitted("read")
    async def get(self) -> None:
        """Versions, and the daemon where it runs; asking does not start it."""
        daemon, error = None, None
        try:
            daemon = await self.kale.in_thread(running)
        except KaleServeError as problem:
            error = problem.to_json()["error"]
        self.finish({"version": own_version(), "daemon": daemon, "error": error})


class KernelHandler(KaleHandler):
    """What a kernel needs to find our package."""

    @permitted("read")
    async def get(self) -> None:
        """A directory with our package and nothing else, for the end of `sys.path`."""
        path = await self.kale.in_thread(kernel_path.ensure)
        self.finish({"sdk_path": str(path), "version": own_version()})


class ArtifactsHandler(ApiHandler):
    """All artifacts."""

    @permitted("read")
    async def get(self) -> None:
        """A page, newest first."""
        await self.hand_on("/api/artifacts", "type", "name", "q", "limit", "page_token")

    @permitted("write")
    async def post(self) -> None:
        """Submit one whose files are in the staging folder."""
        self.refuse_type("application/json")
        await self.hand_on("/api/artifacts", body=self.request.body)


class ArtifactHandler(ApiHandler):
    """One artifact."""

    @permitted("read")
    async def get(self, ref: str) -> None:
        """What is recorded of it."""
        await self.hand_on(artifact_path(ref))

    @permitted("write")
    async def delete(self, ref: str) -> None:
        """Drop it."""
        await self.hand_on(artifact_path(ref))


class LineageHandler(ApiHandler):
    """What an artifact came from and what came of it."""

    @permitted("read")
    async def get(self, ref: str) -> None:
        """The graph."""
        await self.hand_on(artifact_path(ref) + "/lineage")


class NextVersionHandler(ApiHandler):
    """Versions of a name."""

    @permitted("read")
    async def get(self) -> None:
        """Those that are there, and the one that comes next."""
        await self.hand_on("/api/next_version", "name", "type")


class ServicesHandler(ApiHandler):
    """All endpoints."""

    @permitted("read")
    async def get(self) -> None:
        """All, with the number of the last event they include."""
        await self.hand_on("/api/services")

    @permitted("write")
    async def post(self) -> None:
        """Create one, or make its next revision."""
        self.refuse_type("application/json")
        await self.hand_on("/api/services", body=self.request.body)


class ServiceHandler(NamedHandler):
    """One endpoint."""

    @permitted("read")
    async def get(self, name: str) -> None:
        """What it is and how it is."""
        await self.hand_on(self.named(name), *PLACE)

    @permitted("write")
    async def delete(self, name: str) -> None:
        """Delete it; the answer comes when nothing is left."""
        await self.hand_on(self.named(name), *PLACE)


class ObjectHandler(NamedHandler):
    """An endpoint's object on its cluster."""

    # It may hold what only who serves is to see: variables of the user's containers.
    @permitted("execute")
    async def get(self, name: str) -> None:
        """What was sent, what is there, and what others have changed."""
        await self.hand_on(f"{self.named(name)}/object", *PLACE)


class PauseHandler(NamedHandler):
    """Let an endpoint rest."""

    @permitted("write")
    async def post(self, name: str) -> None:
        """Let go of what serves, keep the endpoint."""
        self.refuse_type("application/json")
        await self.hand_on(f"{self.named(name)}/pause", *PLACE, body=b"{}")


class ResumeHandler(NamedHandler):
    """The end of a rest."""

    @permitted("write")
    async def post(self, name: str) -> None:
        """Serve again."""
        self.refuse_type("application/json")
        await self.hand_on(f"{self.named(name)}/resume", *PLACE, body=b"{}")


class TargetsHandler(ApiHandler):
    """Where endpoints can be."""

    @permitted("read")
    async def get(self) -> None:
        """Here, and on the cluster that is configured; nobody chooses one over HTTP."""
        await self.hand_on("/api/targets")


class RuntimesHandler(ApiHandler):
    """The kinds of model servers."""

    @permitted("read")
    async def get(self) -> None:
        """All, and whether each can run here; of a target those that it has."""
        await self.hand_on("/api/runtimes", "target")


class EnvironmentsHandler(ApiHandler):
    """Environments that were made for them."""

    @permitted("read")
    async def get(self) -> None:
        """All, and who uses them."""
        await self.hand_on("/api/environments")


class EnvironmentHandler(ApiHandler):
    """One environment."""

    @permitted("write")
    async def delete(self, name: str) -> None:
        """Remove it."""
        await self.hand_on(environment_path(name))


class MissingHandler(KaleHandler):
    """Any other path below ours."""

    @permitted("read")
    async def get(self, path: str) -> None:
        """There is nothing."""
        unreadable(path)

    @permitted("write")
    async def post(self, path: str) -> None:
        """There is nothing."""
        unreadable(path)

    @permitted("write")
    async def delete(self, path: str) -> None:
        """There is nothing."""
        unreadable(path)
