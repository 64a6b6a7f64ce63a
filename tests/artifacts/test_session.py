from kale_serve_lab.artifacts.session import session


def test_each_place_is_known_by_what_it_sets():
    assert session({"JPY_SESSION_NAME": "/home/me/quick start.ipynb"}, {}) | {"id": ""} == {
        "kind": "notebook",
        "name": "quick start.ipynb",
        "id": "",
    }
    assert session({}, {"__vsc_ipynb_file__": "/x/code.ipynb"})["name"] == "code.ipynb"
    assert session({"KFP_RUN_ID": "run", "KFP_POD_NAME": "pod"}, {}) == {
        "kind": "pipeline",
        "name": "run",
        "id": "pod",
    }
    assert session({"ARGO_WORKFLOW_NAME": "flow", "ARGO_NODE_ID": "node"}, {})["kind"] == "pipeline"


def test_one_process_is_one_session():
    assert session()["id"] == session()["id"]
