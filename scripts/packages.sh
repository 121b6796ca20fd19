#!/bin/sh
# Fill an environment, a clone's or an image's: sh packages.sh ENVIRONMENT REQUIREMENTS PROGRAM
# What REQUIREMENTS pins is checked by its hashes; then PyTorch, which requirements-torch.txt beside it pins. The folder
# PROGRAM is registered, and need not be there yet.
set -eu
environment=$1 requirements=$2 program=$3
torch=$(dirname "$requirements")/requirements-torch.txt

install() {
    "$environment/bin/python" -m pip install --disable-pip-version-check "$@"
}

# Setuptools first: for a package that is no wheel, pip would fetch it unchecked. Without dependencies: all are listed, but PyTorch.
awk '/^[^ ]/ { wanted = /^setuptools==/ } wanted' "$requirements" | install --quiet --require-hashes --no-deps -r /dev/stdin
install --require-hashes --no-deps --no-build-isolation -r "$requirements"
install -r "$torch"

echo "$program" >"$("$environment/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/omf.pth"
cat >"$environment/bin/omf" <<'END'
#!/bin/sh
exec "$(dirname "$(readlink -f "$0")")/python" -P -m omf "$@"
END
chmod +x "$environment/bin/omf"
for pins in "$requirements" "$torch"; do
    cp "$pins" "$environment/installed-$(basename "$pins")"
done
