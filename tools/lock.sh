#!/usr/bin/env bash
# Pin anew what pyproject.toml asks for, with the hashes of all files of each version: requirements.txt (to run) and
# requirements-dev.txt (to develop). PyTorch's version is that of requirements-torch.txt, which says why. Needs uv.
# Arguments go on to uv; to keep versions: tools/lock.sh --constraint OLDER_PINS
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

lock() {
    local file=$1
    shift
    {
        echo "# Exact versions and their files' hashes, for Python 3.11 and later; made by tools/lock.sh. PyTorch, and CUDA's"
        echo "# packages, which the build of PyTorch that is installed names, are left out: see requirements-torch.txt."
        uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate "$@" pyproject.toml |
            awk '/^[^ ]/ { left_out = /^(torch==|nvidia-|cuda-|triton)/ } !left_out'
    } >"$file.new"
    mv "$file.new" "$file"
}

extras=(--extra build --extra workflow --extra train --extra report --extra s3 --constraint requirements-torch.txt)
# the larger one first, since packages for tests limit the versions of others
lock requirements-dev.txt "${extras[@]}" --extra docs --extra dev "$@"
lock requirements.txt "${extras[@]}" --constraint requirements-dev.txt "$@"
