"""The daemon's life: elected, adopted from a crash, damaged and rebuilt, left when idle, stopped when told."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import socket
import stat
import subprocess
import sys
import time

import psutil
import pytest


def wait_for_end(daemon, seconds=20):
    return daemon.process.wait(seconds)


def test_its_socket_and_files_are_its_owners_only(daemon):
    assert stat.S_IMODE(daemon.socket.stat().st_mode) == 0o600
    assert stat.S_IMODE(daemon.socket.parent.stat().st_mode) == 0o700
    for name in ("token", "metadata.sqlite", "daemon.lock"):
        assert stat.S_IMODE((daemon.data / name).stat().st_mode) == 0o600, name
    about = daemon.call("GET", "/api/version").json
    noted = json.loads((daemon.data / "daemon.json").read_text())
    assert about["pid"] == noted["pid"] == daemon.process.pid
    assert about["protocol"] == 1
    assert noted["start_time"] > 0
    assert (daemon.data / "interpreter").read_text() == about["python"]


def test_of_four_started_at_once_one_is_elected(make_daemon):
    all_of_them = [make_daemon() for _ in range(4)]
    import threading

    threads = [threading.Thread(target=one.start) for one in all_of_them]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [one.told for one in all_of_them] == [{"ok": True}] * 4
    pid = all_of_them[0].call("GET", "/api/version").json["pid"]
    losers = [one for one in all_of_them if one.process.pid != pid]
    assert len(losers) == 3
    assert [wait_for_end(one) for one in losers] == [0, 0, 0]


def test_term_ends_it_cleanly_and_the_next_has_all_and_the_same_port(make_daemon):
    first = make_daemon().start()
    made = first.submit().json
    gateway = first.call("GET", "/api/version").json["gateway"]
    path = first.socket
    assert first.stop() == 0
    assert not path.exists()
    second = make_daemon().start()
    assert second.call("GET", "/api/artifacts/iris").json == made
    assert second.call("GET", "/api/version").json["gateway"] == gateway


def test_told_to_stop_it_answers_first(daemon):
    assert daemon.call("POST", "/api/stop", {}).status == 202
    assert wait_for_end(daemon) == 0


def test_it_leaves_when_nobody_needs_it_but_not_while_somebody_listens(make_daemon):
    daemon = make_daemon("--idle-seconds", "0.3").start()
    with daemon.connect() as listener:
        listener.request("GET", "/api/events")
        response = listener.getresponse()
        time.sleep(0.9)
        assert daemon.process.poll() is None
        response.close()
    assert wait_for_end(daemon) == 0


def test_killed_in_the_middle_of_a_submission_nothing_is_there_and_staging_is_cleaned(make_daemon):
    first = make_daemon().start()
    key = first.staged()
    big = first.data / "staging" / key / "big"
    with big.open("wb") as file:
        file.truncate(3 << 30)
    with first.connect() as connection:
        connection.request("POST", "/api/artifacts", json.dumps({"name": "iris", "staging": key}))
        deadline = time.monotonic() + 20
        # Claimed: the daemon hashes three gigabytes now.
        while not list((first.data / "staging").glob(".claimed-*")):
            assert time.monotonic() < deadline
        first.kill()
    second = make_daemon().start()
    assert second.call("GET", "/api/artifacts").json["total"] == 0
    assert list((second.data / "staging").iterdir()) == []
    assert list((second.data / "store" / "tmp").iterdir()) == []
    assert list((second.data / "store" / "trees").iterdir()) == []
    assert second.submit().status == 201


def slow_submission(daemon, size):
    """Send a submission of so many bytes and return the connection once the daemon has claimed it."""
    key = daemon.staged()
    with (daemon.data / "staging" / key / "big").open("wb") as file:
        file.truncate(size)
    connection = daemon.connection()
    connection.request("POST", "/api/artifacts", json.dumps({"name": "iris", "staging": key}))
    deadline = time.monotonic() + 20
    while not list((daemon.data / "staging").glob(".claimed-*")):
        assert time.monotonic() < deadline
    return connection


def test_ten_processes_at_once_on_one_home_find_one_daemon_and_one_truth(home):
    from kale_serve_lab.client import Client

    # Each waits for the starting signal (its standard input's end), so that all ask at the same moment.
    code = (
        "import sys, json; from kale_serve_lab.client import Client; print('there', flush=True); sys.stdin.read(); c = Client();"
        "print(json.dumps([c.request('GET', '/api/version')['pid'], c.request('GET', '/api/services')['items']]))"
    )
    callers = [
        subprocess.Popen(
            [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(10)
    ]
    for caller in callers:
        assert caller.stdout.readline() == "there\n"
    for caller in callers:
        caller.stdin.close()
        caller.stdin = None
    answers = [json.loads(caller.communicate(timeout=60)[0]) for caller in callers]
    assert [caller.returncode for caller in callers] == [0] * 10
    pid = Client(start=False).request("GET", "/api/version")["pid"]
    assert answers == [[pid, []]] * 10
    daemons = [
        one.pid
        for one in psutil.process_iter()
        if "kale_serve_lab.daemon" in _arguments(one) and _home_of(one) == str(home / "data")
    ]
    assert daemons == [pid]


def _arguments(process):
    with contextlib.suppress(psutil.Error):
        return process.cmdline()
    return []


def _home_of(process):
    with contextlib.suppress(psutil.Error):
        return process.environ().get("KALE_SERVE_DATA_DIR")
    return None


def test_told_to_end_it_finishes_the_submission_under_way(make_daemon):
    first = make_daemon().start()
    with contextlib.closing(slow_submission(first, 3 << 30)) as connection:
        first.process.terminate()
        with connection.getresponse() as response:
            assert response.status == 201
            made = json.loads(response.read())
    assert wait_for_end(first, 60) == 0
    second = make_daemon().start()
    assert second.call("GET", f"/api/artifacts/{made['id']}").json == made


def test_a_submission_that_would_hold_up_the_end_for_too_long_leaves_nothing(make_daemon):
    # In a daemon's process of its own only the environment reaches, so the wait is shortened before main() runs.
    first = make_daemon()
    first.command = [
        sys.executable,
        "-c",
        "import sys; from kale_serve_lab.daemon import life, __main__ as m; life.FINISH_SECONDS = 0.1; sys.exit(m.main())",
    ]
    first.start()
    with contextlib.closing(slow_submission(first, 6 << 30)) as connection:
        began = time.monotonic()
        first.process.terminate()
        assert wait_for_end(first) == 0
        assert time.monotonic() - began < 8
        with pytest.raises((http.client.HTTPException, ConnectionError)):
            connection.getresponse()
    second = make_daemon().start()
    assert second.call("GET", "/api/artifacts").json["total"] == 0
    for folder in ("staging", "store/tmp", "store/trees", "store/records"):
        assert list((second.data / folder).iterdir()) == [], folder


def test_its_log_is_bounded_while_it_runs(make_daemon, home):
    daemon = make_daemon()
    daemon.log_path = home / "data" / "logs" / "daemon.log"
    daemon.log_path.parent.mkdir(parents=True, mode=0o700)
    daemon.log_path.parent.parent.chmod(0o700)
    daemon.log_path.write_bytes(b"x" * (9 << 20))
    daemon.start()
    assert daemon.call("GET", "/api/version").status == 200
    assert daemon.log_path.stat().st_size < 1 << 20
    assert daemon.log_path.with_name("daemon.log.1").stat().st_size <= 4 << 20


def test_a_submission_begun_but_not_recorded_is_dropped_after_a_crash_and_a_recorded_one_kept(make_daemon):
    first = make_daemon().start()
    kept = first.submit("kept").json
    lost = first.submit("lost", content=b"lost").json
    first.kill()
    records = first.data / "store" / "records"
    for path in records.glob("*.json"):
        # As if the crash had come one step earlier.
        path.rename(path.with_suffix(".begun"))
    import sqlite3

    database = sqlite3.connect(first.data / "metadata.sqlite")
    database.execute("DELETE FROM Artifact WHERE id = ?", (lost["id"],))
    database.commit()
    database.close()
    second = make_daemon().start()
    assert [one["id"] for one in second.call("GET", "/api/artifacts").json["items"]] == [kept["id"]]
    assert [tree.name for tree in (second.data / "store" / "trees").iterdir()] == [kept["digest"]]
    assert len(list(records.glob("*.json"))) == 1


def test_a_damaged_database_is_rebuilt_and_the_log_says_so(make_daemon):
    first = make_daemon().start()
    made = first.submit().json
    first.stop()
    (first.data / "metadata.sqlite").write_bytes(b"garbage" * 1000)
    second = make_daemon().start()
    assert second.call("GET", f"/api/artifacts/{made['id']}").json == made
    assert "is damaged" in second.text()
    assert list(second.data.glob("metadata.sqlite.damaged-*"))


def test_a_stale_socket_of_a_killed_daemon_is_no_obstacle(make_daemon):
    first = make_daemon().start()
    first.kill()
    assert first.socket.exists()
    assert make_daemon().start().submit().status == 201


def test_events_are_told_as_they_happen_replayed_and_a_gap_is_named(make_daemon):
    daemon = make_daemon().start()
    start = daemon.call("GET", "/api/services").json["seq"]
    with daemon.connect() as listener:
        listener.request("GET", f"/api/events?since={start}")
        with listener.getresponse() as response:
            made = daemon.submit().json
            event = json.loads(response.readline())
            assert event == {
                "seq": start + 1,
                "kind": "artifact",
                "name": "iris",
                "namespace": None,
                "id": made["id"],
                "revision": None,
                "state": "LIVE",
                "deleted": False,
            }
    for since, kind in ((start, "artifact"), (start - 5, "gap"), (start + 99, "gap"), (1, "gap")):
        with daemon.connect() as listener:
            listener.request("GET", f"/api/events?since={since}")
            with listener.getresponse() as response:
                first = json.loads(response.readline())
        assert first["kind"] == kind
    daemon.kill()
    second = make_daemon().start()
    assert second.call("GET", "/api/services").json["seq"] > start


def test_streams_end_when_it_stops(daemon):
    with daemon.connect() as listener:
        listener.request("GET", "/api/events")
        with listener.getresponse() as response:
            daemon.process.send_signal(signal.SIGTERM)
            assert response.read() == b""
    assert wait_for_end(daemon) == 0


def test_at_rest_it_takes_no_processor_and_little_memory(daemon):
    daemon.submit()
    process = psutil.Process(daemon.process.pid)
    assert process.memory_info().rss < 120 << 20
    before = process.cpu_times()
    switches = process.num_ctx_switches().voluntary
    time.sleep(2)
    after = process.cpu_times()
    assert (after.user + after.system) - (before.user + before.system) <= 0.02
    assert process.num_ctx_switches().voluntary - switches <= 4
    loaded = {os.path.basename(one.path) for one in process.memory_maps()}
    assert not [name for name in loaded if "sklearn" in name or "_multiarray" in name]


def test_a_home_that_is_open_to_others_is_refused_with_the_reason(make_daemon, home):
    (home / "data").mkdir()
    (home / "data").chmod(0o777)
    daemon = make_daemon().start()
    assert daemon.told["error"]["code"] == "UnsafePath"
    assert wait_for_end(daemon) == 1


def test_a_caller_that_sends_half_a_request_holds_nobody_up(daemon):
    with socket.socket(socket.AF_UNIX) as half:
        half.connect(str(daemon.socket))
        half.sendall(b"POST /api/artifacts HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
        assert daemon.call("GET", "/api/version").status == 200
