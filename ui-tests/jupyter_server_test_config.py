"""JupyterLab as the browser tests drive it: galata's helpers, a root of its own, a port of its own."""

import os

from jupyterlab.galata import configure_jupyter_server

configure_jupyter_server(c)  # noqa: F821 (Jupyter puts c here)
c.ServerApp.port = int(os.environ["KALE_SERVE_UI_PORT"])  # noqa: F821
c.ServerApp.allow_root = True  # noqa: F821
