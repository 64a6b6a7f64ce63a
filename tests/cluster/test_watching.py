"""Watches against an API server that goes away, forgets, falls silent, is busy or says no; what is known is right again after."""

from __future__ import annotations

import asyncio
import dataclasses
import threading
import time

import pytest

from kale_serve_lab.backends.kserve.connect import connect
from kale_serve_lab.backends.kserve.resources import EVENTS, INFERENCE_SERVICES, PODS
from kale_serve_lab.backends.kserve.settings import Settings
from kale_serve_lab.backends.kserve.watch_rules import Timings
from kale_serve_lab.backends.kserve.watches import Watches
from kale_serve_lab.backends.kserve.watching import Watch
from kale_serve_lab.errors import Forbidden, NotFound, Unauthorized

# As in use, but for what only a long time would show.
QUICK = Timings(refused_wait=1.0, expired_wait=1.0)
WAIT = 60.0


def isvc(name, number=0, **labels):
    return {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": {"name": name, "labels": labels},
        "spec": {
            "predictor": {"model": {"modelFormat": {"name": "sklearn"}, "storageUri": f"pvc://a/{number}"}}
        },
    }


class Seen:
    """What a watch has told, and waiting for it."""

    def __init__(self):
        self.events = []
        self.states = []
        self.objects = {}
        self._changed = threading.Condition()

    def event(self, event):
        with self._changed:
            name = event.object["metadata"]["name"]
            self.events.append((event.type, name))
            if event.type == "DELETED":
                self.objects.pop(name)
            else:
                self.objects[name] = event.object
            self._changed.notify_all()

    def state(self, state):
        with self._changed:
            self.states.append(state)
            self._changed.notify_all()

    @property
    def phase(self):
        return self.states[-1].phase if self.states else "starting"

    def until(self, holds, seconds=WAIT):
        with self._changed:
            assert self._changed.wait_for(holds, seconds), (self.states, self.events[-20:])

    def names(self):
        return sorted(self.objects)


@pytest.fixture
def cluster(fake, kubeconfig):
    fake.controller.enabled = False
    before = set(threading.enumerate())
    made = connect(Settings(kubeconfig=str(kubeconfig)))
    yield made
    made.close()
    left = [t.name for t in threading.enumerate() if t not in before and t.name.startswith(("watch", "log"))]
    assert not left


@pytest.fixture
def watching(fake, cluster):
    """Starts watches of a kind; they are ended, and no stream of theirs is left."""
    made = []

    def start(resource=INFERENCE_SERVICES, timings=QUICK, **how):
        seen = Seen()
        watch = Watch(cluster, resource, "default", seen.event, seen.state, timings=timings, **how)
        made.append(watch)
        watch.start()
        return seen

    yield start
    for watch in made:
        watch.close()
    fake.wait_for(lambda: not fake.watches.open)


def test_what_is_there_comes_first_then_each_change(fake, watching):
    fake.put(isvc("a"))
    seen = watching()
    seen.until(lambda: seen.phase == "live")
    assert seen.events == [("ADDED", "a")]
    fake.put(isvc("b"))
    fake.put(isvc("a", 1))
    fake.remove("inferenceservices", "b")
    seen.until(lambda: ("DELETED", "b") in seen.events)
    assert [e for e in seen.events if e[1] == "a"] == [("ADDED", "a"), ("MODIFIED", "a")]
    found = seen.objects["a"]
    assert found["spec"]["predictor"]["model"]["storageUri"] == "pvc://a/1"
    assert (found["apiVersion"], found["kind"]) == ("serving.kserve.io/v1beta1", "InferenceService")
    assert fake.requests.count("list") == 1
    assert fake.requests.count("watch") == 1


def test_a_thousand_objects_come_in_pages_and_cost_few_requests(fake, watching):
    for number in range(1000):
        fake.put(isvc(f"s-{number:04}"))
    seen = watching()
    seen.until(lambda: seen.phase == "live")
    assert len(seen.objects) == 1000
    assert fake.requests.count("list") == 2
    assert all(one.query["limit"] == "500" for one in fake.requests.of("list"))
    fake.put(isvc("s-0500", 1))
    seen.until(lambda: seen.events[-1] == ("MODIFIED", "s-0500"))
    assert len(fake.requests) == 3


def test_a_selector_is_passed_on(fake, watching):
    fake.put(isvc("a", mine="yes"))
    fake.put(isvc("b"))
    seen = watching(selector={"labelSelector": "mine=yes"})
    seen.until(lambda: seen.phase == "live")
    assert seen.names() == ["a"]


def test_bookmarks_carry_the_version_so_that_nothing_is_listed_anew(fake, watching):
    seen = watching()
    seen.until(lambda: seen.phase == "live")
    fake.wait_for(lambda: fake.watches.open)
    for number in range(5):
        fake.put({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": f"c-{number}"}})
    fake.watches.bookmark()
    fake.put(isvc("a"))
    seen.until(lambda: "a" in seen.objects)
    fake.watches.drop()
    fake.wait_for(lambda: fake.requests.count("watch") == 2)
    assert int(fake.requests.of("watch")[-1].query["resourceVersion"]) > int(
        fake.requests.of("watch")[0].query["resourceVersion"]
    )
    assert fake.requests.count("list") == 1
    assert {one.query["allowWatchBookmarks"] for one in fake.requests.of("watch")} == {"true"}
    assert all(240 <= int(one.query["timeoutSeconds"]) <= 300 for one in fake.requests.of("watch"))


def test_a_watch_ends_as_asked_and_goes_on_where_it_was(fake, watching):
    seen = watching(timings=dataclasses.replace(QUICK, ask_shortest=1, ask_longest=1, short_watch=0.5))
    fake.wait_for(lambda: fake.requests.count("watch") >= 3)
    fake.put(isvc("a"))
    seen.until(lambda: "a" in seen.objects)
    assert fake.requests.count("list") == 1
    assert {one.phase for one in seen.states} == {"live"}


@pytest.mark.parametrize("how", ["event", "while away"])
def test_a_version_that_is_too_old_is_listed_anew_and_what_has_gone_is_told(how, fake, watching):
    for name in ("gone", "kept", "changed"):
        fake.put(isvc(name))
    seen = watching()
    seen.until(lambda: seen.phase == "live")
    fake.wait_for(lambda: fake.watches.open)
    if how == "event":
        with fake.store.lock:
            fake.remove("inferenceservices", "gone")
            fake.put(isvc("changed", 1))
            fake.put(isvc("new"))
            fake.compact()
            fake.watches.drop(expired=True)
    else:
        fake.refuse()
        fake.remove("inferenceservices", "gone")
        fake.put(isvc("changed", 1))
        fake.put(isvc("new"))
        fake.compact()
        fake.resume()
    seen.until(lambda: seen.names() == ["changed", "kept", "new"] and seen.phase == "live")
    seen.until(lambda: seen.objects["changed"]["spec"]["predictor"]["model"]["storageUri"] == "pvc://a/1")
    assert ("DELETED", "gone") in seen.events
    assert [e for e in seen.events if e[1] == "kept"] == [("ADDED", "kept")], (
        "what is the same is not told again"
    )


def test_a_list_whose_pages_are_too_old_begins_anew(fake, watching):
    for number in range(7):
        fake.put(isvc(f"s-{number}"))
    first = threading.Event()

    original = fake.api.list

    def list_(target, query):
        answer = original(target, query)
        if query.get("limit") and not query.get("continue") and not first.is_set():
            first.set()
            fake.put(isvc("s-6", 1))
            fake.compact()
        return answer

    fake.api.list = list_
    seen = watching(timings=dataclasses.replace(QUICK, page=3))
    seen.until(lambda: seen.phase == "live")
    assert len(seen.objects) == 7
    assert fake.requests.count("list") == 5  # one page, one refused, three


def times_of(fake):
    """Wraps the log of requests: when each came."""
    times = []
    original = fake._log

    def log(*given):
        times.append(time.monotonic())
        original(*given)

    fake._log = log
    return times


def test_while_it_is_away_it_is_asked_once_a_second_at_most_and_right_again_soon(fake, cluster, watching):
    """Several watches; the server answers 503, so that each request is seen."""

    async def scene():
        loop = asyncio.get_running_loop()
        watches = Watches(cluster, loop, QUICK)
        seen = [Seen(), Seen(), Seen()]
        for resource, one in zip((INFERENCE_SERVICES, PODS, EVENTS), seen, strict=True):
            watches.subscribe(resource, "default", one.event, one.state)
        await until(lambda: all(one.phase == "live" for one in seen))
        await asyncio.to_thread(fake.wait_for, lambda: len(fake.watches.open) == 3)
        times = times_of(fake)
        began = time.monotonic()
        fake.script.fail("list watch", status=503, times=10_000)
        fake.watches.drop()
        await until(lambda: all(one.phase == "stale" for one in seen))
        assert all(one.states[-1].stale_since for one in seen)
        assert all(one.states[-1].error.code == "ClusterUnavailable" for one in seen)
        await until(lambda: len(times) >= 11)
        # The first of each comes at once: it might have been this connection only. A request may come late, never early.
        free = len(seen) + 1
        assert all(at - began > number - free for number, at in enumerate(times[:11])), (began, times)
        fake.put(isvc("a"))
        fake.script.clear()
        over = time.monotonic()
        await until(lambda: all(one.phase == "live" for one in seen) and "a" in seen[0].objects)
        took = time.monotonic() - over
        assert all(one.states[-1].stale_since is None for one in seen)
        await watches.close()
        return took

    # The rules hold it to 15 s (test_watching_rules.py); a busy machine adds its own.
    assert asyncio.run(scene()) < 30


async def until(holds, seconds=WAIT):
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


def test_a_port_that_refuses_for_a_while(fake, watching):
    fake.put(isvc("a"))
    seen = watching()
    seen.until(lambda: seen.phase == "live")
    fake.refuse()
    # First of all the connection that was open breaks off.
    seen.until(lambda: seen.phase == "stale" and "refused" in seen.states[-1].error.message)
    stale = seen.states[-1]
    assert stale.stale_since <= time.time() * 1000
    assert seen.names() == ["a"], "what was known stays, and is called stale"
    fake.put(isvc("b"))
    fake.resume()
    seen.until(lambda: seen.phase == "live" and seen.names() == ["a", "b"])


def test_away_from_the_beginning(fake, watching):
    fake.refuse()
    seen = watching()
    seen.until(lambda: seen.phase == "stale")
    fake.put(isvc("a"))
    fake.resume()
    seen.until(lambda: seen.phase == "live")
    assert seen.names() == ["a"]


@pytest.mark.parametrize("verb", ["list", "watch"])
@pytest.mark.parametrize(
    "how", [{"status": 500}, {"status": 504}, {"reset": True}], ids=["500", "504", "reset"]
)
def test_a_failure_in_each_step_is_overcome(verb, how, fake, watching):
    rule = fake.script.fail(verb, times=2, **how)
    seen = watching()
    fake.wait_for(lambda: rule.hits == 2)
    fake.put(isvc("a"))
    seen.until(lambda: seen.phase == "live" and "a" in seen.objects)


def test_it_goes_away_between_two_pages(fake, watching):
    for number in range(7):
        fake.put(isvc(f"s-{number}"))
    rule = fake.script.fail("list", status=503, times=1)
    rule.hits = 1
    original = fake.api.list

    def list_(target, query):
        if query.get("continue"):
            rule.hits = 0
            fake.api.list = original
        return original(target, query)

    fake.api.list = list_
    seen = watching(timings=dataclasses.replace(QUICK, page=3))
    seen.until(lambda: seen.phase == "live")
    assert len(seen.objects) == 7
    assert [e for e in seen.events if e[0] == "DELETED"] == []


def test_a_busy_server_is_given_its_time(fake, watching):
    rule = fake.script.fail("list", status=429, retry_after=1, times=2)
    seen = watching()
    seen.until(lambda: seen.phase == "live")
    assert rule.hits == 2
    assert {one.phase for one in seen.states} == {"live"}, "a short wait is not called an outage"


def test_silence_is_noticed_and_the_watch_taken_up_again(fake, watching):
    """The connection stands and says nothing: a load balancer that has forgotten it."""
    seen = watching(timings=dataclasses.replace(QUICK, silent=1.0, request=2.0))
    seen.until(lambda: seen.phase == "live")
    fake.wait_for(lambda: fake.requests.count("watch") >= 3)
    assert {one.phase for one in seen.states} == {"live"}, "silence alone is no outage"
    fake.silence()
    seen.until(lambda: seen.phase == "stale")
    assert "in time" in seen.states[-1].error.message
    fake.put(isvc("a"))
    fake.resume()
    seen.until(lambda: seen.phase == "live" and "a" in seen.objects)
    assert fake.requests.count("list") == 1


@pytest.mark.parametrize("verb", ["list", "watch"])
def test_a_missing_right_is_named_and_asked_for_again_once_in_a_while(verb, fake, watching):
    fake.deny(verb, "inferenceservices")
    seen = watching()
    seen.until(lambda: seen.phase == "forbidden")
    error = seen.states[-1].error
    assert type(error) is Forbidden
    assert error.details["rule"]["verbs"] == [verb]
    assert "namespace default" in error.hint
    assert seen.states[-1].stale_since is None
    fake.allow(verb, "inferenceservices")
    fake.put(isvc("a"))
    seen.until(lambda: seen.phase == "live" and "a" in seen.objects)


def test_a_missing_right_costs_few_requests(fake, watching):
    fake.deny("list", "inferenceservices")
    seen = watching(timings=Timings())
    seen.until(lambda: seen.phase == "forbidden")
    before = len(fake.requests)
    time.sleep(3)  # that nothing happens has no event
    assert len(fake.requests) == before == 1


def test_a_kind_that_is_not_installed_is_absent(fake, watching):
    from kale_serve_lab.backends.kserve.resources import Resource

    seen = watching(Resource("nobody.example.org", "v1", "things", "Thing"))
    seen.until(lambda: seen.phase == "absent")
    assert type(seen.states[-1].error) is NotFound


def test_an_expired_token_is_said_and_a_new_login_is_found(fake, kubeconfig, watching):
    seen = watching()
    seen.until(lambda: seen.phase == "live")
    fake.wait_for(lambda: fake.watches.open)
    fake.access.expire(fake.token)
    fake.watches.drop()
    seen.until(lambda: seen.phase == "stale")
    assert type(seen.states[-1].error) is Unauthorized
    fake.kubeconfig(kubeconfig, token=fake.access.token("kale"))
    fake.put(isvc("a"))
    seen.until(lambda: seen.phase == "live" and "a" in seen.objects)


@pytest.mark.parametrize("away", ["live", "refused", "silent", "forbidden"])
def test_it_ends_at_once_whatever_it_does(away, fake, cluster):
    seen = Seen()
    if away == "forbidden":
        fake.deny("list", "inferenceservices")
    watch = Watch(cluster, INFERENCE_SERVICES, "default", seen.event, seen.state, timings=Timings())
    watch.start()
    if away == "forbidden":
        seen.until(lambda: seen.phase == "forbidden")
    else:
        seen.until(lambda: seen.phase == "live")
        fake.wait_for(lambda: fake.watches.open)
    if away == "refused":
        fake.refuse()
        seen.until(lambda: seen.phase == "stale")
    if away == "silent":
        fake.silence()
    watch.close()
    assert not watch._thread.is_alive()
    fake.resume()
    told = len(seen.events)
    fake.put(isvc("late"))
    assert len(seen.events) == told


def test_callers_share_one_watch_and_the_last_one_ends_it(fake, cluster):
    fake.put(isvc("a"))

    async def scene():
        loop = asyncio.get_running_loop()
        watches = Watches(cluster, loop, QUICK)
        threads = set()
        seen = [Seen() for _ in range(20)]

        def subscribe(one):
            def event(event):
                threads.add(threading.current_thread())
                one.event(event)

            return watches.subscribe(INFERENCE_SERVICES, "default", event, one.state)

        first = subscribe(seen[0])
        await until(lambda: seen[0].phase == "live")
        others = [subscribe(one) for one in seen[1:]]
        await until(lambda: all(one.phase == "live" for one in seen))
        assert all(one.events == [("ADDED", "a")] for one in seen)
        fake.put(isvc("b"))
        await until(lambda: all("b" in one.objects for one in seen))
        assert all(one.events[1:] == [("ADDED", "b")] for one in seen)
        assert fake.requests.count("watch") == fake.requests.count("list") == 1
        assert threads == {threading.main_thread()}, "callbacks come in the loop's thread"
        first.close()
        first.close()
        fake.put(isvc("c"))
        await until(lambda: all("c" in one.objects for one in seen[1:]))
        assert "c" not in seen[0].objects
        assert sorted(name for _, name in others[0].objects) == ["a", "b", "c"]
        for one in others:
            one.close()
        await asyncio.to_thread(fake.wait_for, lambda: not fake.watches.open)
        again = subscribe(Seen())
        await until(lambda: again.state.phase == "live")
        await watches.close()
        await asyncio.to_thread(fake.wait_for, lambda: not fake.watches.open)

    asyncio.run(scene())


def test_a_slow_loop_is_told_the_last_state_only(fake, cluster):
    async def scene():
        watches = Watches(cluster, asyncio.get_running_loop(), QUICK)
        seen = Seen()
        watches.subscribe(INFERENCE_SERVICES, "default", seen.event, seen.state)
        await until(lambda: seen.phase == "live")
        await asyncio.to_thread(fake.wait_for, lambda: fake.watches.open)
        # The loop is busy; meanwhile an object changes fast, and others come and go.
        for number in range(200):
            fake.put(isvc("a", number))
        fake.put(isvc("b"))
        fake.remove("inferenceservices", "b")
        fake.put(isvc("last"))
        shared = next(iter(watches._shared.values()))
        deadline = time.monotonic() + WAIT
        while ("default", "last") not in shared._events:
            assert time.monotonic() < deadline
            time.sleep(0.01)  # noqa: ASYNC251 (the loop is to be busy)
        assert len(shared._events) <= 3
        await until(lambda: "last" in seen.objects)
        assert seen.objects["a"]["spec"]["predictor"]["model"]["storageUri"] == "pvc://a/199"
        assert seen.events.count(("ADDED", "a")) == 1
        assert len(seen.events) <= 4
        await watches.close()

    asyncio.run(scene())
