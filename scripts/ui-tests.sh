#!/usr/bin/env bash
# The browser tests. Chromium comes from the system's packages; where it cannot be had they are skipped loudly, in CI they fail.
set -euo pipefail
cd "$(dirname "$0")/.."
export PATH="$PWD/.venv/bin:$PATH"
if ! command -v chromium >/dev/null 2>&1 && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
  echo "Installing Chromium from the system's packages"
  { apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium fonts-dejavu-core; } >/tmp/ksl-chromium.log 2>&1 || tail -5 /tmp/ksl-chromium.log
fi
if ! command -v chromium >/dev/null 2>&1 && [ -z "${KALE_SERVE_CHROMIUM:-}" ]; then
  echo "=================================================================================="
  echo " BROWSER TESTS SKIPPED: no Chromium. Install the package 'chromium', or name a"
  echo " Chromium or Chrome binary in KALE_SERVE_CHROMIUM, and run 'make ui-tests' again."
  echo "=================================================================================="
  [ -z "${CI:-}" ] || exit 1
  exit 0
fi
export KALE_SERVE_CHROMIUM="${KALE_SERVE_CHROMIUM:-$(command -v chromium)}"
cd ui-tests
jlpm install --immutable >/tmp/ksl-ui-install.log 2>&1 || { tail -30 /tmp/ksl-ui-install.log; exit 1; }
exec jlpm playwright test "$@"
