#!/usr/bin/env bash
# Check pinned packages for known vulnerabilities: tools/audit.sh REQUIREMENTS...
# Without an answer from the database (osv.dev) the check is skipped, and says so.
set -euo pipefail
report=$(mktemp)
trap 'rm -f "$report"' EXIT
files=()
for requirements in "$@"; do files+=(--requirement "$requirements"); done
if pip-audit "${files[@]}" --disable-pip --no-deps --vulnerability-service osv \
    ${OSV_URL:+--osv-url "$OSV_URL"} --progress-spinner off --timeout 10 --format columns --output "$report" 2>"$report.log"; then
    echo "audit: no known vulnerabilities"
elif [ -s "$report" ]; then
    cat "$report"
    exit 1
else
    echo "audit: skipped, the vulnerability database can't be reached ($(tail -n 1 "$report.log" | cut -c 1-80))"
fi
rm -f "$report.log"
