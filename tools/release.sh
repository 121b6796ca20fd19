#!/usr/bin/env bash
# The steps of a release. .github/workflows/release.yml calls them at a tag; they run by hand too.
#     tools/release.sh check TAG                 the tag is that of the version, and the changelog has its section
#     tools/release.sh package FOLDER            wheel and sdist
#     tools/release.sh notes TAG                 print the section of the changelog
#     tools/release.sh docker REPOSITORY TAG     build the image for Docker and push it
#     tools/release.sh apptainer REPOSITORY TAG  build the image for Apptainer and push it
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

version() {
    sed -n 's/^VERSION = "\(.*\)"$/\1/p' omf/utils/version.py
}

# Print the section of a version, without its heading.
notes() {
    awk -v heading="## ${1#v}" '
        /^## / { inside = ($0 == heading || index($0, heading " ") == 1); next }
        inside' CHANGELOG.md | sed -e '/./,$!d'
}

case ${1:-} in
check)
    if [ "$2" != "v$(version)" ]; then
        echo "error: the tag is $2, the version in omf/utils/version.py $(version)" >&2
        exit 1
    fi
    if [ -z "$(notes "$2")" ]; then
        echo "error: CHANGELOG.md has no section ## ${2#v}" >&2
        exit 1
    fi
    ;;
package)
    python3 -m venv .venv-release
    .venv-release/bin/python -m pip install --quiet build twine
    .venv-release/bin/python -m build --outdir "$2"
    .venv-release/bin/python -m twine check --strict "$2"/*
    ;;
notes) notes "$2" ;;
docker)
    commit=$(git rev-parse HEAD)
    docker build --tag "$2:$3" --file containers/Dockerfile --build-arg COMMIT="$commit" --build-arg VERSION="${3#v}" .
    docker push "$2:$3"
    ;;
apptainer)
    commit=$(git rev-parse HEAD)
    apptainer build --build-arg COMMIT="$commit" --build-arg VERSION="${3#v}" omf.sif containers/omf.def
    apptainer push omf.sif "oras://$2-sif:$3"
    ;;
*)
    sed -n '2,7s/^# \{0,1\}//p' "$0" >&2
    exit 2
    ;;
esac
