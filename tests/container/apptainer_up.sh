#!/usr/bin/env bash
# A real Apptainer on a Debian machine whose release has none; for root.
#     apptainer_up.sh FOLDER     Debian 13 with the package of Debian unstable goes there; FOLDER/host/apptainer runs it
# The command sees this machine's folders at their places. It runs as the user in TEST_USER, root by default, and
# builds as the ordinary user 1000, who must be able to read the sources and to write the image's folder.
set -euo pipefail
root=$1
mmdebstrap --quiet --variant=minbase \
    --include=ca-certificates,squashfs-tools,uidmap,libseccomp2,libsqlite3-0,containernetworking-plugins,e2fsprogs,fuse3,squashfuse \
    trixie "$root"
mirror=$(awk '$1 == "deb" { print $2; exit }' "$root/etc/apt/sources.list")
lists=$(mktemp -d)
trap 'rm -rf "$lists"' EXIT
mkdir -p "$lists/lists/partial" "$lists/cache/archives/partial"
keyring=$root/usr/share/keyrings/debian-archive-keyring.gpg
echo "deb [signed-by=$keyring] $mirror sid main" >"$lists/sources.list"
unstable=(-o APT::Sandbox::User=root -o Dir::State::Lists="$lists/lists" -o Dir::Cache="$lists/cache"
    -o Dir::Etc::SourceList="$lists/sources.list" -o Dir::Etc::SourceParts=/dev/null)
apt-get "${unstable[@]}" update -qq
(cd "$root/tmp" && apt-get "${unstable[@]}" download -qq apptainer)
chroot "$root" sh -c 'dpkg -i /tmp/apptainer_*.deb && useradd -u 1000 -d /tmp/home-1000 user'
chmod 666 /dev/fuse # ordinary users mount images

# Without CAP_SYS_RESOURCE, which containers lack, Apptainer works in a user namespace, as on most clusters.
mkdir "$root/host"
cat >"$root/host/apptainer" <<WRAPPER
#!/usr/bin/env bash
ROOT=$root exec unshare --mount bash -c '
mount --make-rprivate /
mount --bind "\$ROOT" "\$ROOT"
for folder in /*/; do
    case \$folder in /bin/ | /boot/ | /etc/ | /lib*/ | /run/ | /sbin/ | /usr/ | /var/) continue ;; esac
    mkdir -p "\$ROOT\$folder" && mount --rbind "\$folder" "\$ROOT\$folder"
done
cp /etc/resolv.conf "\$ROOT/etc/resolv.conf"
cwd=\$PWD; cd "\$ROOT"; mkdir -p old; pivot_root . old; umount -l /old; cd "\$cwd"
user=\${TEST_USER:-0}; if [ "\$1" = build ]; then user=1000; fi
export HOME=/tmp/home-\$user PATH=/usr/sbin:/usr/bin:/sbin:/bin
mkdir -p "\$HOME"; chown "\$user:\$user" "\$HOME"
if [ "\$user" = 0 ]; then export APPTAINER_USERNS=1; exec apptainer "\$@"; fi
exec setpriv --reuid "\$user" --regid "\$user" --clear-groups apptainer "\$@"' apptainer "\$@"
WRAPPER
chmod 755 "$root" "$root/host/apptainer"
"$root/host/apptainer" --version
