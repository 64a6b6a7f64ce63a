from fake_cluster.fixtures import *  # noqa: F403
