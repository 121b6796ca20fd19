#!/bin/sh
# Install system and Python packages of the image, for Dockerfile and omf.def; runs as root on Ubuntu 24.04 or Debian 12.
set -eu

export DEBIAN_FRONTEND=noninteractive
apt-get update
apt-get install -y --no-install-recommends ca-certificates git python3 python3-venv tini
apt-get clean
rm -rf /var/lib/apt/lists/*
git config --system safe.directory '*' # a clone may belong to another user

python3 -m venv /opt/venv
PIP_NO_CACHE_DIR=1 sh /opt/omf/packages.sh /opt/venv /opt/omf/requirements.txt
/opt/venv/bin/python -m compileall -q -j 0 -x '/tests/|/testing/_internal/' /opt/venv/lib # an image is read-only, and starts often
