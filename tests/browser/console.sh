#!/usr/bin/env bash
# Whether a browser shows the web console that is served at URL, and whether keys alone change a primary there: console.js does it in
# headless Chromium, and leaves pictures to look at. Optional: does nothing where no Chromium, or no node, is installed.
#
# usage: tests/browser/console.sh URL PASSWORD-FILE [DIRECTORY FOR PICTURES]
set -euo pipefail
here=$(dirname "$(realpath "$0")")

browser=$(command -v chromium || command -v chromium-browser || command -v google-chrome || true)
[ -n "$browser" ] && command -v node >/dev/null || { echo "no Chromium, or no node: nothing was looked at" >&2; exit 0; }

exec timeout 300 node "$here/console.js" "$browser" "$1" "$(head -n 1 "$2")" "${3:-}"
