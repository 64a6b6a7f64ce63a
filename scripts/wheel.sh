#!/usr/bin/env bash
# Build the wheel, install it alone into a clean environment where no Node is on PATH, and serve a model there.
set -euo pipefail
cd "$(dirname "$0")/.."
export PATH="$PWD/.venv/bin:$PATH"
work=$(mktemp -d /tmp/ksl-wheel-XXXXXX)
trap 'rm -rf "$work"' EXIT
.venv/bin/python -m build --wheel --no-isolation --outdir "$work/dist" . >"$work/build.log" 2>&1 || { tail -40 "$work/build.log"; exit 1; }
.venv/bin/uv venv --quiet --python .venv/bin/python "$work/venv"
.venv/bin/uv pip install --quiet --python "$work/venv/bin/python" "$(echo "$work"/dist/*.whl)[lab,examples]"
mkdir "$work/empty" "$work/home" && cp tests/wheel/smoke.py "$work/empty/"
cd "$work/empty"
env -i PATH="$work/venv/bin" HOME="$work/home" LANG=C.UTF-8 \
  KALE_SERVE_DATA_DIR="$work/home/data" XDG_RUNTIME_DIR="$work/home" "$work/venv/bin/python" smoke.py
echo "wheel: installed and served without Node"
