import os
import sys
from pathlib import Path

import pytest
from fake_cluster.fixtures import *  # noqa: F403

# The modules beside this file: pytest's importlib mode leaves sys.path alone.
sys.path.append(str(Path(__file__).parent))


def pytest_collection_modifyitems(items):
    """`-m any_cluster`: what takes the shared fixture `cluster` (not a module's own of that name) and scripts no failure."""
    for item in items:
        named = item._fixtureinfo.name2fixturedefs.get("cluster")
        shared = named and named[-1].func.__module__ == "fake_cluster.fixtures"
        if shared and not item.get_closest_marker("needs_fake"):
            item.add_marker(pytest.mark.any_cluster)
            if "KALE_SERVE_TEST_KUBECONFIG" in os.environ:
                # It waits for images and for the cluster's own patience.
                item.add_marker(pytest.mark.timeout(1800))
