#!/usr/bin/env bash
# Check pinned packages for known vulnerabilities: tools/audit.sh REQUIREMENTS...
# Without an answer from the database (osv.dev) the check is skipped, and says so.
set -euo pipefail
report=$(mktemp)
trap 'rm -f "$report" "$report.log"' EXIT

# One file at a time: pip-audit refuses a file without hashes beside one with hashes.
for requirements in "$@"; do
    : >"$report"
    if pip-audit --requirement "$requirements" --disable-pip --no-deps --vulnerability-service osv \
        ${OSV_URL:+--osv-url "$OSV_URL"} --progress-spinner off --timeout 10 --output "$report" 2>"$report.log"; then
        echo "audit: no known vulnerabilities in $requirements"
    elif [ -s "$report" ]; then
        cat "$report"
        exit 1
    else
        echo "audit: $requirements skipped, no answer from the database ($(tail -n 1 "$report.log" | cut -c 1-80))"
    fi
done
