#!/bin/bash
# What a container does: run the workflow in the working folder (no arguments, or ./test with arguments), or a command.
set -euo pipefail

# Root, as Docker starts it, becomes the owner of the working folder, who then owns what is left there. Nothing runs
# privileged: the bounding set is empty from here on, which also tells that this was done.
if [ "$(id -u)" = 0 ] && ! grep -qE '^CapBnd:\s*0+$' /proc/self/status; then
    exec setpriv --reuid "$(stat -c %u .)" --regid "$(stat -c %g .)" --clear-groups \
        --bounding-set=-all --inh-caps=-all --no-new-privs "$0" "$@"
fi
[ -w "${HOME:-}" ] || export HOME=/tmp # for caches
export USER=${USER:-$(id -un 2>/dev/null || id -u)} # Snakemake asks for the name; not all users have one here

# A clone's own code comes before the image's.
if [ -f Snakefile ] && [ -x test ]; then
    export PYTHONPATH=$PWD
    [ $# -gt 0 ] || set -- ./test
elif [ $# = 0 ] || [ "$1" = ./test ]; then
    shift $(($# > 0))
    set -- snakemake --snakefile /opt/omf/Snakefile "$@"
fi
[ $$ != 1 ] || set -- tini -g -- "$@" # Docker signals process 1 alone: jobs must hear of it too
exec -- "$@"
