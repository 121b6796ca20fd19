# For ./test and ./check: .venv, created on first use and after a change of the pins; in an image, its own environment.

# Print the first Python that is new enough, $PYTHON before others.
find_python() {
    local python
    for python in ${PYTHON:-} python3 python3.13 python3.12 python3.11; do
        if "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            echo "$python"
            return
        fi
    done
    echo "error: no Python 3.11 or later found; install one, or name it: PYTHON=/path/to/python3 $0" >&2
    return 1
}

# Succeed if an environment was installed from the present pins.
holds() {
    cmp -s "$2" "$1/installed-$2" && cmp -s requirements-torch.txt "$1/installed-requirements-torch.txt"
}

# Put the environment of this image first on the PATH, and the code of this clone before that of the image.
use_image() {
    if ! holds "$OMF_ENVIRONMENT" "$1"; then
        echo "error: this image holds other packages than $1 pins; build it anew: containers/README.md tells how" >&2
        return 1
    fi
    export PATH="$OMF_ENVIRONMENT/bin:$PATH" PYTHONPATH="$PWD"
}

# Install a requirements file and this program into .venv, unless they are installed, and put .venv first on the PATH.
prepare_environment() {
    local requirements=$1 python
    if [ -n "${OMF_ENVIRONMENT:-}" ]; then
        use_image "$requirements"
        return
    fi
    if ! holds .venv "$requirements"; then
        python=$(find_python)
        echo "Installing $requirements into .venv ($("$python" --version)); this happens once." >&2
        if [ -z "${PIP_EXTRA_INDEX_URL:-}${PIP_FIND_LINKS:-}" ] && ! command -v nvidia-smi >/dev/null; then
            echo "No NVIDIA GPU found. If no job of a cluster will use this .venv on a GPU, a smaller PyTorch without CUDA suffices;" \
                "stop (Ctrl-C) and start again with:" >&2
            echo "    PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu $0" >&2
        fi
        if ! "$python" -m venv .venv; then
            echo "error: $python can't make .venv; on Debian and Ubuntu: sudo apt install python3-venv" >&2
            return 1
        fi
        if ! sh tools/packages.sh "$PWD/.venv" "$requirements" "$PWD"; then
            echo "error: $requirements is not installed, for the reason that pip gives above; where that is a hash, the file that was" \
                "offered is not the one that was pinned: don't install it by other means" >&2
            return 1
        fi
    fi
    unset PYTHONDONTWRITEBYTECODE # packages come without bytecode: each process would compile PyTorch and the rest anew
    export PATH="$PWD/.venv/bin:$PATH"
}
