#!/bin/bash
# Run the workflow in the working folder (no arguments, or ./test with arguments), or a command.
set -euo pipefail

# Root, as Docker starts it, becomes the owner of the working folder, so that outputs belong to that user. Nothing runs
# privileged: the bounding set is empty from here on, which also marks that this was done.
if [ "$(id -u)" = 0 ] && ! grep -qE '^CapBnd:\s*0+$' /proc/self/status; then
    exec setpriv --reuid "$(stat -c %u .)" --regid "$(stat -c %g .)" --clear-groups \
        --bounding-set=-all --inh-caps=-all --no-new-privs "$0" "$@"
fi
[ -w "${HOME:-}" ] || export HOME=/tmp # for caches
# for models and profiles of the user's, which must not vanish with the container: there, commands refuse to write them
[ "$(stat -c %m .)" = / ] && state=/dev/null || state=$PWD
export OMF_HOME=${OMF_HOME:-$state}
export USER=${USER:-$(id -un 2>/dev/null || id -u)} # Snakemake needs a name; not all users have one here

# The code of a clone takes precedence over that of the image.
if [ -f Snakefile ] && [ -x test ]; then
    export PYTHONPATH=$PWD
    [ $# -gt 0 ] || set -- ./test
elif [ $# = 0 ] || [ "$1" = ./test ]; then
    shift $(($# > 0))
    # a folder of nothing but photos
    [ $# -gt 0 ] || [ ! -d photos ] || [ -d test_rgb ] || set -- --config images=photos ground_truth=
    set -- snakemake --snakefile /opt/omf/Snakefile "$@"
fi
[ $$ != 1 ] || set -- tini -g -- "$@" # Docker signals only process 1; tini passes it on to the jobs
exec -- "$@"
