"""What every metadata store must do: subclass `MetadataContract` and give it a store."""

from __future__ import annotations

import pytest

from kale_serve_lab.errors import ArtifactNotFound, VersionExists
from kale_serve_lab.metadata.protocol import MetadataStore
from kale_serve_lab.metadata.types import NewArtifact, Query, Session

NOTEBOOK = Session("notebook", "quickstart.ipynb", "s1")


def new(name="iris", version="1.0.0", type="kale.Model", digest="d" * 64, **more):
    return NewArtifact(type, name, version, f"kale-local://sha256/{digest}", digest, 5, 1000, **more)


def kinds(lineage):
    return sorted((node.kind, node.type, node.name) for node in lineage.nodes)


class MetadataContract:
    @pytest.fixture
    def store(self) -> MetadataStore:
        raise NotImplementedError

    def test_all_that_is_recorded_comes_back(self, store):
        given = new(
            description="My model; DROP TABLE Artifact; --",
            author="Kale",
            tags={"stage": "development"},
            framework="sklearn",
            class_name="sklearn.svm.SVC",
            method="predict",
            signature={"layout": "columns", "inputs": [1.5]},
            environment={"python": "/bin/python", "packages": {"scikit-learn": "1.9"}},
            executable=True,
            properties={"rows": 5, "note": "\u202etxt\x00", "nested": {"a": [None]}},
        )
        made = store.record(given)
        assert made == store.get(made.id)
        assert {name: getattr(made, name) for name in given.__dataclass_fields__} == given.__dict__
        assert made.state == "LIVE"
        assert made.to_json()["key"] == f"artifact:{made.id}"

    def test_name_and_version_are_taken_once_for_a_type(self, store):
        first = store.record(new())
        with pytest.raises(VersionExists, match=r"iris 1\.0\.0") as caught:
            store.record(new(digest="e" * 64))
        assert caught.value.details["id"] == first.id
        store.record(new(type="kale.Dataset"))
        assert store.list(Query()).total == 2

    def test_found_by_name_version_and_type_the_newest_first_and_models_before_data(self, store):
        store.record(new(version="1.0.0"))
        second = store.record(new(version="1.0.1"))
        data = store.record(new(version="1.0.0", type="kale.Dataset"))
        store.record(new("iris2"))
        assert store.find("iris") == second
        assert store.find("iris", "1.0.0").type == "kale.Model"
        assert store.find("iris", "1.0.0", "kale.Dataset") == data
        assert store.versions("iris", "kale.Model") == ["1.0.1", "1.0.0"]
        for missing in [("iris", "2"), ("iri", None), ("%", None), ("iris%", None), ("", None)]:
            with pytest.raises(ArtifactNotFound):
                store.find(*missing)

    @pytest.mark.parametrize("id", [0, -1, 99, 1 << 62, 1 << 63, 1 << 80])
    def test_an_unknown_id_is_not_found(self, store, id):
        with pytest.raises(ArtifactNotFound):
            store.get(id)
        with pytest.raises(ArtifactNotFound):
            store.lineage(id)

    def test_pages_are_newest_first_whole_and_stable_while_more_is_recorded(self, store):
        ids = [store.record(new(version=f"1.0.{i}")).id for i in range(7)]
        first = store.list(Query(limit=3))
        store.record(new(version="2.0.0"))
        second = store.list(Query(limit=3, before_id=first.next_before_id))
        third = store.list(Query(limit=3, before_id=second.next_before_id))
        assert [a.id for page in (first, second, third) for a in page.items] == ids[::-1]
        assert (first.total, second.total, third.next_before_id) == (7, 8, None)

    def test_filters_hold_at_once_and_take_every_text_literally(self, store):
        store.record(new("iris"))
        store.record(new("iris", type="kale.Dataset"))
        store.record(new("100%_sure's"))
        assert store.list(Query(types=("kale.Dataset",))).total == 1
        assert store.list(Query(types=("kale.Dataset", "kale.Model"), name="iris")).total == 2
        assert [a.name for a in store.list(Query(text="IRI", types=("kale.Model",))).items] == ["iris"]
        for text, total in [
            ("%", 1),
            ("_", 1),
            ("0%_s", 1),
            ("'", 1),
            ("\\", 0),
            ("' OR 1=1 --", 0),
            ("1.0.0", 3),
        ]:
            assert store.list(Query(text=text)).total == total, text
        assert store.list(Query(types=("no.Type",))).items == ()
        assert store.list(Query(name="iri")).total == 0

    def test_a_deleted_one_is_out_of_lists_but_not_of_lineage_and_its_version_is_free(self, store):
        for round in range(3):
            made = store.record(new(digest=str(round) * 64), session=NOTEBOOK)
            assert store.digests([str(round) * 64]) == {str(round) * 64}
            store.delete(made.id)
            assert store.list(Query()).total == 0
            assert store.get(made.id).state == "DELETED"
            assert store.digests([str(round) * 64]) == set()
            assert made.id in {node.id for node in store.lineage(made.id).nodes if node.kind == "artifact"}
            with pytest.raises(ArtifactNotFound):
                store.find("iris")
            with pytest.raises(ArtifactNotFound):
                store.delete(made.id)

    def test_lineage_leads_from_data_through_session_and_serving_to_the_endpoint(self, store):
        data = store.record(new("data", type="kale.Dataset"), session=NOTEBOOK)
        made = store.record(new(), session=NOTEBOOK, inputs=[data.id])
        store.record(new("sibling"), session=NOTEBOOK, inputs=[data.id])
        step = store.record(new("step", type="kale.Transformer"), session=NOTEBOOK)
        end = store.record_endpoint("default", "iris", 1, inputs=[made.id, step.id], created_at=5)
        lineage = store.lineage(made.id)
        assert lineage.root == made.key
        assert not lineage.truncated
        assert kinds(lineage) == [
            ("artifact", "kale.Dataset", "data"),
            ("artifact", "kale.Endpoint", "iris"),
            ("artifact", "kale.Model", "iris"),
            ("context", "kale.Experiment", "quickstart.ipynb"),
            ("execution", "kale.Serve", "iris"),
            ("execution", "kale.Session", "quickstart.ipynb"),
        ]
        by_key = {node.key: node for node in lineage.nodes}
        edges = {(by_key[e.source].name, by_key[e.target].type, e.kind) for e in lineage.edges}
        assert edges == {
            ("data", "kale.Session", "input"),
            ("quickstart.ipynb", "kale.Model", "output"),
            ("iris", "kale.Serve", "input"),
            ("iris", "kale.Endpoint", "output"),
            ("quickstart.ipynb", "kale.Session", "context"),
        }
        assert len(store.lineage(end.id).nodes) == 7

    def test_a_pipelines_run_is_a_context_of_its_own_kind(self, store):
        made = store.record(new(), session=Session("pipeline", "run-7", "train"))
        assert ("context", "kale.Run", "run-7") in kinds(store.lineage(made.id))

    def test_an_unknown_input_is_refused_and_nothing_is_recorded(self, store):
        with pytest.raises(ArtifactNotFound):
            store.record(new(), session=NOTEBOOK, inputs=[99])
        assert store.list(Query()).total == 0
        store.record(new(), session=NOTEBOOK)

    def test_a_lineage_is_cut_at_its_limit_and_says_so(self, store):
        made = store.record(new())
        for i in range(6):
            store.record_endpoint("default", f"e{i}", 1, inputs=[made.id], created_at=5)
        lineage = store.lineage(made.id, limit=5)
        assert lineage.truncated
        assert len(lineage.nodes) <= 5
        keys = {node.key for node in lineage.nodes}
        assert all(edge.source in keys and edge.target in keys for edge in lineage.edges)
        assert made.key in keys

    def test_an_endpoint_is_one_artifact_over_its_revisions_and_another_when_made_again(self, store):
        models = [store.record(new(version=v)).id for v in ("1", "2")]
        one = store.record_endpoint("default", "iris", 1, inputs=models[:1], created_at=5)
        assert store.record_endpoint("default", "iris", 1, inputs=models[:1], created_at=5) == one
        two = store.record_endpoint("default", "iris", 2, inputs=models[1:], created_at=5)
        assert (two.id, two.version) == (one.id, "2")
        assert {models[0], models[1]} < {
            node.id for node in store.lineage(one.id).nodes if node.kind == "artifact"
        }
        assert store.list(Query(types=("kale.Endpoint",))).total == 1
        assert store.list(Query()).total == 2
        store.delete_endpoint("default", "iris")
        store.delete_endpoint("default", "iris")
        assert store.get(one.id).state == "DELETED"
        assert store.list(Query(types=("kale.Endpoint",))).total == 0
        again = store.record_endpoint("default", "iris", 1, inputs=models[:1], created_at=6)
        assert again.id != one.id
        assert store.get(again.id).state == "LIVE"

    def test_an_id_can_be_asked_for_when_a_database_is_rebuilt(self, store):
        assert store.record(new(version="1"), artifact_id=7).id == 7
        assert store.record(new(version="2"), artifact_id=40).id == 40
        assert store.record(new(version="3")).id == 41
