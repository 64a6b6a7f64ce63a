#!/usr/bin/env bash
# JupyterLab on a copy of the quickstart notebook, so that running it leaves the checkout clean.
set -euo pipefail
cd "$(dirname "$0")/.."
export PATH="$PWD/.venv/bin:$PATH"
work="${KALE_SERVE_LAB_DIR:-$PWD/.lab}"
mkdir -p "$work"
for notebook in examples/*.ipynb; do
  [ -e "$work/$(basename "$notebook")" ] || cp "$notebook" "$work/"
done
options=("--ServerApp.root_dir=$work" "--LabApp.default_url=/lab/tree/quickstart.ipynb")
[ "$(id -u)" != 0 ] || options+=(--allow-root)
if [ -z "${DISPLAY:-}${WAYLAND_DISPLAY:-}" ] && [ "$(uname)" != Darwin ]; then
  echo "No screen here: open the URL below in a browser."
  options+=(--no-browser)
fi
exec .venv/bin/jupyter lab "${options[@]}" "$@"
