#!/usr/bin/env bash
# Build the documentation as a site, without the network: tools/site/build.sh FOLDER
# A broken link or anchor is an error. The site can be read from disk: FOLDER/index.html; a server adds the search, and
# the network draws the two diagrams (Mermaid).
set -euo pipefail
out=$(realpath -m "${1:?folder of the site}")
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
source tools/environment.sh
prepare_environment requirements-dev.txt
run=$(mktemp -d)
trap 'rm -rf "$run"' EXIT
snakemake --snakefile Snakefile --directory "$run" --cores all --quiet all >"$run/log" 2>&1 || { cat "$run/log" >&2; exit 1; }
export NO_MKDOCS_2_WARNING=1 # an advertisement
OMF_REPORT="$run/submission/report.html" mkdocs build --quiet --config-file tools/site/mkdocs.yml --site-dir "$out"
echo "$out/index.html"
