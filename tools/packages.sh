#!/bin/sh
# Install pinned packages, and a program in place, into an environment: sh packages.sh ENVIRONMENT REQUIREMENTS [PROGRAM]
# Hashes verify the packages of REQUIREMENTS; then comes PyTorch, which requirements-torch.txt beside it pins.
set -eu
environment=$1 requirements=$2 program=${3:-}
torch=$(dirname "$requirements")/requirements-torch.txt

# Python compiles what a program imports, when it does; all packages would take as long as their installation.
install() {
    "$environment/bin/python" -m pip install --disable-pip-version-check --no-compile "$@"
}

# Setuptools first: pip would fetch it unverified to build a source package. Without dependencies: all are listed, except PyTorch.
awk '/^[^ ]/ { wanted = /^setuptools==/ } wanted' "$requirements" | install --quiet --require-hashes --no-deps -r /dev/stdin
install --require-hashes --no-deps --no-build-isolation -r "$requirements"
install -r "$torch"
[ -z "$program" ] || install --quiet --no-deps --no-build-isolation --editable "$program"
for pins in "$requirements" "$torch"; do
    cp "$pins" "$environment/installed-$(basename "$pins")"
done
