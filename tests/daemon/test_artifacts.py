"""Artifacts by the daemon's API: submitted, listed, refused, deleted, and never half there."""

from __future__ import annotations

import json
import threading
import urllib.parse


def left_in_staging(daemon):
    return list((daemon.data / "staging").iterdir())


def test_a_submission_is_recorded_stored_and_its_staging_is_gone(daemon):
    answer = daemon.submit(
        description="My model",
        tags={"stage": "development"},
        session={"kind": "notebook", "name": "quickstart.ipynb", "id": "1"},
        environment={"python": "/usr/bin/python3"},
    )
    assert answer.status == 201
    made = answer.json
    assert (made["version"], made["state"], made["tags"]) == ("1.0.0", "LIVE", {"stage": "development"})
    assert made["uri"] == f"kale-local://sha256/{made['digest']}"
    assert left_in_staging(daemon) == []
    for ref in (str(made["id"]), "iris", "iris:1.0.0"):
        assert daemon.call("GET", f"/api/artifacts/{ref}").json == made
    lineage = daemon.call("GET", "/api/artifacts/iris/lineage").json
    assert {node["kind"] for node in lineage["nodes"]} == {"artifact", "execution", "context"}
    assert answer.headers["X-Kale-Serve-Version"]


def test_equal_content_under_one_version_is_one_artifact_and_other_content_is_refused(daemon):
    first = daemon.submit(version="1.0.0")
    again = daemon.submit(version="1.0.0")
    assert (again.status, again.json) == (200, first.json)
    other = daemon.submit(version="1.0.0", content=b"other")
    assert (other.status, other.code) == (409, "VersionExists")
    assert left_in_staging(daemon) == []
    trees = list((daemon.data / "store" / "trees").iterdir())
    assert [tree.name for tree in trees] == [first.json["digest"]]


def test_without_a_version_the_next_is_taken_and_the_same_content_again_is_the_same(daemon):
    assert daemon.submit().json["version"] == "1.0.0"
    assert daemon.submit().json["version"] == "1.0.0"
    assert daemon.submit(content=b"2").json["version"] == "1.0.1"
    assert daemon.submit(content=b"3", version="2.5").json["version"] == "2.5"
    assert daemon.submit(content=b"4").json["version"] == "2.5.1"
    answer = daemon.call("GET", "/api/next_version?name=iris").json
    assert answer == {"name": "iris", "versions": ["2.5.1", "2.5", "1.0.1", "1.0.0"], "next": "2.5.2"}
    assert daemon.call("GET", "/api/next_version?name=new").json["next"] == "1.0.0"


def test_content_that_an_earlier_version_had_is_that_version_again(daemon):
    first = daemon.submit(content=b"A").json
    second = daemon.submit(content=b"B").json
    again = daemon.submit(content=b"A")
    assert (again.status, again.json) == (200, first)
    assert daemon.submit(content=b"B").json == second
    assert daemon.call("GET", "/api/artifacts").json["total"] == 2


def race(count, call):
    answers = []
    barrier = threading.Barrier(count)

    def run(number):
        barrier.wait()
        answers.append(call(number))

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers


def test_many_submit_one_version_at_once_and_one_wins(daemon):
    answers = race(8, lambda number: daemon.submit(version="1.0.0", content=b"%d" % (number // 2)))
    winners = [answer.json for answer in answers if answer.status < 300]
    assert sorted(answer.status for answer in answers) in ([200, 201] + [409] * 6, [201] + [409] * 7)
    assert len({one["id"] for one in winners}) == 1
    assert daemon.call("GET", "/api/artifacts").json["total"] == 1
    assert len(list((daemon.data / "store" / "trees").iterdir())) == 1
    assert left_in_staging(daemon) == []


def test_many_submit_without_a_version_at_once_and_each_has_its_own(daemon):
    answers = race(6, lambda number: daemon.submit(content=b"%d" % number))
    assert sorted(answer.json["version"] for answer in answers) == [f"1.0.{n}" for n in range(6)]


def test_a_path_is_copied_and_left_as_it_was(daemon):
    source = daemon.home / "m"
    source.mkdir()
    (source / "a").write_bytes(b"1")
    made = daemon.call("POST", "/api/artifacts", {"name": "m", "artifact_uri": str(source)})
    assert made.status == 201
    assert (source / "a").read_bytes() == b"1"
    again = daemon.call("POST", "/api/artifacts", {"name": "copy", "artifact_uri": made.json["uri"]})
    assert (again.status, again.json["digest"]) == (201, made.json["digest"])
    (source / "link").symlink_to("/etc/passwd")
    refused = daemon.call("POST", "/api/artifacts", {"name": "m2", "artifact_uri": str(source)})
    assert refused.status == 400
    assert "link is a symbolic link" in refused.json["error"]["message"]


def test_paths_that_are_no_models_are_refused(daemon):
    (daemon.home / "sneaky").symlink_to("/etc")
    for uri in [
        "file:///etc/passwd",
        "/etc/passwd",
        "/proc/self/environ",
        "s3://b/../c",
        "http://169.254.169.254/latest",
        "//host/share",
        "relative/path",
        "/tmp/../etc/passwd",
        "{data}/token",
        "{data}/store",
        "{home}/sneaky/passwd",
        "kale-local://sha256/../../../etc/passwd",
        "/tmp/a\0b",
    ]:
        given = uri.format(data=daemon.data, home=daemon.home)
        answer = daemon.call("POST", "/api/artifacts", {"name": "x", "artifact_uri": given})
        assert answer.status == 400, answer.body
        assert daemon.call("GET", "/api/artifacts").json["total"] == 0


def test_a_field_that_cannot_be_meant_is_refused_by_name(daemon):
    for change in [
        {"name": ""},
        {"name": "a/b"},
        {"name": "../x"},
        {"name": "12"},
        {"name": "a\u202eb"},
        {"name": "x" * 129},
        {"name": 5},
        {"type": "kale.Endpoint"},
        {"version": "../1"},
        {"version": "1 0"},
        {"tags": [1]},
        {"staging": "../../store"},
        {"staging": None},
        {"artifact_uri": "/tmp/x"},
        {"inputs": ["1"]},
        {"inputs": [True]},
        {"executable": "yes"},
        {"description": "x" * 10_001},
        {"signature": {"layout": "nonsense"}},
        {"tags": {"stage": {"a": 1}}},
        {"tags": {"note": "x" * 10_001}},
        {"session": {"kind": "other"}},
    ]:
        body = {"type": "kale.Model", "name": "iris", "staging": daemon.staged()} | change
        answer = daemon.call("POST", "/api/artifacts", body)
        assert answer.status == 400, answer.body
        assert answer.json["error"]["message"]
        assert daemon.call("GET", "/api/artifacts").json["total"] == 0


def test_a_body_that_is_no_json_object_is_refused(daemon):
    for body in [b"{", b"[]", b'{"a": NaN}', b'{"a":1,"a":2}', b"[" * 100_000, b'{"a": "\\ud800"}', b"\xff"]:
        answer = daemon.call("POST", "/api/artifacts", body)
        assert answer.status == 400
        assert answer.json["error"]["code"] in {"InvalidInput", "InvalidRequest"}


def test_a_staging_folder_is_taken_once_and_goes_also_when_it_is_refused(daemon):
    key = daemon.staged()
    (daemon.data / "staging" / key / "fifo").symlink_to("/dev/zero")
    body = {"name": "iris", "staging": key}
    assert daemon.call("POST", "/api/artifacts", body).status == 400
    assert left_in_staging(daemon) == []
    again = daemon.call("POST", "/api/artifacts", body)
    assert (again.status, "no staging folder" in again.json["error"]["message"]) == (400, True)


def test_lists_are_paged_and_filtered_with_any_text(daemon):
    for number in range(5):
        daemon.submit(content=b"%d" % number)
    daemon.submit("data", type="kale.Dataset")
    page = daemon.call("GET", "/api/artifacts?limit=4").json
    rest = daemon.call("GET", f"/api/artifacts?limit=4&page_token={page['next_page_token']}").json
    ids = [item["id"] for item in page["items"] + rest["items"]]
    assert ids == sorted(ids, reverse=True)
    assert (len(ids), page["total"], rest["next_page_token"]) == (6, 6, None)
    assert daemon.call("GET", "/api/artifacts?type=kale.Dataset").json["total"] == 1
    assert daemon.call("GET", "/api/artifacts?type=kale.Dataset,kale.Model&name=iris").json["total"] == 5
    hostile = urllib.parse.quote("' OR 1=1; DROP TABLE Artifact --")
    assert daemon.call("GET", f"/api/artifacts?q={hostile}").json["total"] == 0
    assert daemon.call("GET", "/api/artifacts?page_token=x").status == 400
    assert daemon.call("GET", "/api/artifacts?limit=-1").status == 400


def test_a_deleted_artifact_is_gone_and_its_bytes_too_unless_another_has_them(daemon):
    one, two = daemon.submit("one").json, daemon.submit("two").json
    assert one["digest"] == two["digest"]
    trees = daemon.data / "store" / "trees"
    assert daemon.call("DELETE", f"/api/artifacts/{one['id']}").status == 204
    assert (trees / one["digest"]).exists()
    assert daemon.call("GET", "/api/artifacts/one").code == "ArtifactNotFound"
    assert daemon.call("DELETE", "/api/artifacts/two").status == 204
    assert not (trees / one["digest"]).exists()
    assert list((daemon.data / "store" / "blobs").glob("*/*")) == []
    assert daemon.submit("one", content=b"new").json["version"] == "1.0.0"


def test_an_artifact_that_is_not_there_is_not_found(daemon):
    for ref in ["..%2f..%2fx", "99", "iris:9", "%00", "9" * 30, "%e2%80%ae", "'", "a:b:c"]:
        for path in (f"/api/artifacts/{ref}", f"/api/artifacts/{ref}/lineage"):
            assert daemon.call("GET", path).code == "ArtifactNotFound"


def test_other_paths_and_verbs_are_answered_in_json(daemon):
    assert daemon.call("GET", "/api/nothing").code == "NotFound"
    assert daemon.call("GET", "/").status == 404
    assert daemon.call("PUT", "/api/artifacts", {}).status == 405
    assert json.loads(daemon.call("POST", "/api/version").body)["error"]["message"]
