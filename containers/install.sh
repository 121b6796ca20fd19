#!/bin/sh
# What an image holds besides the program, for Dockerfile and omf.def alike: runs as root on Ubuntu 24.04 or Debian 12.
set -eu

export DEBIAN_FRONTEND=noninteractive
apt-get update
apt-get install -y --no-install-recommends ca-certificates git python3 python3-venv tini
apt-get clean
rm -rf /var/lib/apt/lists/*
git config --system safe.directory '*' # a clone may belong to another user

python3 -m venv /opt/venv
/opt/venv/bin/pip install --no-cache-dir --disable-pip-version-check -r /opt/omf/requirements.txt
cp /opt/omf/requirements.txt /opt/venv/installed-requirements.txt

# The program is registered before it is there, so that a change of its code takes no step of this again.
echo /opt/omf >"$(/opt/venv/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/omf.pth"
cat >/opt/venv/bin/omf <<'EOF'
#!/opt/venv/bin/python
import sys

from omf.cli import main

sys.exit(main())
EOF
chmod +x /opt/venv/bin/omf
