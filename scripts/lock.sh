#!/usr/bin/env bash
# Pin anew what pyproject.toml asks for: requirements.txt (to run) and requirements-dev.txt (to develop). Needs uv.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

lock() {
    local file=$1
    shift
    {
        echo "# Exact versions, for Python 3.11 and later; made by scripts/lock.sh. CUDA's packages are left out: the build of"
        echo "# PyTorch that is installed names those that it needs, and builds without CUDA need none."
        uv pip compile --quiet --universal --python-version 3.11 --no-header --no-annotate "$@" pyproject.toml |
            grep -vE '^(nvidia-|cuda-|triton)'
    } >"$file.new"
    mv "$file.new" "$file"
}

lock requirements.txt
lock requirements-dev.txt --extra dev --constraint requirements.txt
