#!/usr/bin/env bash
# Whether a browser shows the page that `weir-sim trace --html` writes: runs it in headless Chromium, light and dark, and leaves
# pictures to look at. Optional: does nothing where no Chromium is installed.
#
# usage: tests/browser/page.sh PAGE.html [DIRECTORY FOR PICTURES]
set -euo pipefail
page=$(realpath "$1")
pictures=${2:-}

browser=$(command -v chromium || command -v chromium-browser || command -v google-chrome || true)
[ -n "$browser" ] || { echo "no Chromium: nothing was looked at" >&2; exit 0; }

profile=$(mktemp -d)
trap 'rm -rf "$profile"' EXIT

chromium() {
    timeout 120 "$browser" --headless=new --no-sandbox --disable-gpu --hide-scrollbars --window-size=1400,840 \
        --virtual-time-budget=3000 --user-data-dir="$profile" "$@" 2>/dev/null
}

# The legend is the last thing that the script makes.
chromium --dump-dom "file://$page#theme=dark" >"$profile/dom.html"
grep -q '</i>violation</span>' "$profile/dom.html" || { echo "$page: its script did not come to its end" >&2; exit 1; }

if [ -n "$pictures" ]; then
    mkdir -p "$pictures"
    for theme in light dark; do chromium --screenshot="$pictures/$theme.png" "file://$page#theme=$theme"; done
fi
echo "$page: shown"
