"""What a watch does next, without a server: each answer there is, and no way to a storm of requests."""

from __future__ import annotations

import random
import threading
import time

import pytest

from kale_serve_lab.backends.kserve.cluster import Answer
from kale_serve_lab.backends.kserve.pace import Pace
from kale_serve_lab.backends.kserve.resources import EVENTS, INFERENCE_SERVICES, PODS, Resource
from kale_serve_lab.backends.kserve.watch_rules import Timings, after_end, after_loss, after_refusal, backoff
from kale_serve_lab.errors import ClusterUnavailable

TIMINGS = Timings()
ERROR = ClusterUnavailable("away")


def refusal(status, doing="watch", fails=0, quiet=60.0, **headers):
    answer = Answer(status, b"", headers)
    return after_refusal(answer, doing, ERROR, fails=fails, quiet=quiet, timings=TIMINGS, chance=0.5)


def test_gone_lists_anew_at_once_and_then_with_pauses():
    first = refusal(410)
    assert (first.doing, first.wait, first.phase) == ("list", 0.0, None)
    assert refusal(410, fails=1).wait >= 1


@pytest.mark.parametrize("doing", ["list", "watch"])
@pytest.mark.parametrize(
    ("status", "phase", "shortest"),
    [(500, "stale", 1), (503, "stale", 1), (401, "stale", 5), (403, "forbidden", 30), (404, "absent", 30), (400, "stale", 1)],
)  # fmt: skip
def test_refusals_say_what_state_that_is_and_never_ask_again_at_once(status, phase, shortest, doing):
    step = refusal(status, doing)
    assert step.phase == phase
    assert step.error is ERROR
    assert step.wait >= shortest


def test_a_busy_server_is_given_its_time_and_is_not_called_away_at_once():
    step = refusal(429, quiet=1.0, **{"retry-after": "9"})
    assert (step.phase, step.wait) == (None, 9)
    assert refusal(429, quiet=60.0).phase == "stale"
    assert refusal(429, **{"retry-after": "86000"}).wait <= TIMINGS.refused_wait


def test_a_watch_that_breaks_is_taken_up_at_once_but_only_the_first_time():
    def loss(**how):
        return after_loss(ERROR, "watch", timings=TIMINGS, chance=0.5, **how)

    assert loss(opened=True, fails=0).wait == 0
    assert loss(opened=True, fails=0).phase is None
    assert loss(opened=True, fails=1).wait >= 1
    assert loss(opened=False, fails=0).wait >= 1
    assert loss(opened=False, fails=0).phase == "stale"


def test_a_watch_that_ends_as_asked_goes_on_and_one_that_ends_at_once_is_slowed():
    def end(**how):
        return after_end(timings=TIMINGS, chance=0.5, **how)

    assert end(lasted=300, heard=0, fails=0).wait == 0
    assert end(lasted=0.1, heard=3, fails=0).wait == 0
    quick = end(lasted=0.1, heard=0, fails=0)
    assert quick.wait >= 1
    assert quick.failed


def test_waits_are_spread_and_short_enough_to_be_back_within_15_seconds():
    dice = random.Random(7)
    waits = [backoff(fails, TIMINGS, dice.random()) for fails in range(40)]
    assert min(waits) >= 1
    # A try that hangs takes 5 s more until it is given up.
    assert max(waits) + 5 + 1 < 15
    assert len(set(waits)) > 30
    assert backoff(100_000, TIMINGS, 0.99) <= 6


def test_watches_take_turns_a_second_apart_and_the_first_success_wakes_all():
    pace = Pace(apart=0.2)
    times: list[float] = []
    lock = threading.Lock()

    def turn():
        pace.wait(0.2, lambda: False)
        with lock:
            times.append(time.monotonic())

    threads = [threading.Thread(target=turn) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    # A thread may be late, never early: its turn is the earliest that it comes.
    assert len(times) == 4
    assert max(times) - min(times) >= 0.2
    sleepers = [threading.Thread(target=pace.wait, args=(3600.0, lambda: False)) for _ in range(3)]
    for thread in sleepers:
        thread.start()
    while any(thread.is_alive() for thread in sleepers):
        pace.recovered()
        for thread in sleepers:
            thread.join(0.01)


def test_a_stopped_wait_returns():
    pace, stopped = Pace(), threading.Event()
    thread = threading.Thread(target=pace.wait, args=(3600.0, stopped.is_set))
    thread.start()
    stopped.set()
    pace.wake()
    thread.join(30)
    assert not thread.is_alive()


def test_paths_lead_nowhere_else():
    assert PODS.path("team", "p", "log") == "/api/v1/namespaces/team/pods/p/log"
    assert (
        INFERENCE_SERVICES.path("team") == "/apis/serving.kserve.io/v1beta1/namespaces/team/inferenceservices"
    )
    for name in ("../x", "a/b", "..", "%2e%2e", "x?y#z", "a b"):
        path = PODS.path("team", name)
        head, _, tail = path.rpartition("/")
        assert head == "/api/v1/namespaces/team/pods"
        assert not set(tail) & set("/?# ")
        assert tail.strip(".")


def test_what_is_kept_of_an_object_leaves_out_what_nobody_reads():
    given = {
        "metadata": {
            "name": "a",
            "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "x" * 1000, "kept": "y"},
            "managedFields": [
                {"manager": "controller", "subresource": "status", "fieldsV1": {}},
                {"manager": "argocd", "fieldsV1": {"f:spec": {}}},
            ],
        },
        "spec": {"a": 1},
    }
    kept = EVENTS.compact(given)
    assert kept["metadata"] == {"name": "a", "annotations": {"kept": "y"}}
    assert kept["spec"] == {"a": 1}
    ours = INFERENCE_SERVICES.compact(given)["metadata"]["managedFields"]
    assert [one["manager"] for one in ours] == ["argocd"]
    assert "managedFields" in given["metadata"], "what was given is not changed"
    assert Resource("", "v1", "x", "X").what("ns", "n") == "x ns/n"
