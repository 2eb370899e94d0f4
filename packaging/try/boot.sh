#!/bin/bash
# Boots systemd on a copy of this machine's files: `cargo xtask units` runs this in namespaces of its own, as root.
# Nothing that happens in there changes a file of the machine, but those in the folder of the run.
#
# boot.sh RUN PACKAGING BINARY COMPONENT
set -euo pipefail
run=$1 packaging=$2 binary=$3 component=$4

mount --make-rprivate /
mkdir "$run/changes"
mount -t tmpfs -o size=2g tmpfs "$run/changes"
mkdir "$run/changes/upper" "$run/changes/work" "$run/changes/root"
root=$run/changes/root
mount -t overlay overlay -o "lowerdir=/,upperdir=$run/changes/upper,workdir=$run/changes/work" "$root"
mount -t proc proc "$root/proc"
mount -t sysfs sysfs "$root/sys"
mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
mount -t tmpfs tmpfs "$root/run"
mount -t tmpfs tmpfs "$root/tmp"
mount --rbind /dev "$root/dev"
mkdir -p "$root/try"
mount --bind "$run" "$root/try"

# Only what the node needs starts.
rm -rf "$root"/lib/systemd/system/*.wants/* "$root"/etc/systemd/system/*.wants/*
mkdir -p "$root/etc/systemd/system" "$root/etc/everwarm" "$root/usr/local/bin"
cp "$packaging/everwarm.service" "$packaging/everwarm.socket" "$root/etc/systemd/system/"
install -m 755 "$binary" "$root/usr/local/bin/everwarm"
cp "$component" "$run/component.wasm"
cp "$packaging/try/check.sh" "$run/check.sh"
echo "EVERWARM_BASE_DOMAIN=apps.example.com" > "$root/etc/everwarm/everwarm.env"
cat > "$root/etc/systemd/system/try.service" <<'UNIT'
[Unit]
DefaultDependencies=no
[Service]
Type=oneshot
ExecStart=/bin/bash /try/check.sh
UNIT
cat > "$root/etc/systemd/system/try.target" <<'UNIT'
[Unit]
DefaultDependencies=no
Wants=try.service
UNIT
ip link set lo up
exec chroot "$root" env -i container=other PATH=/usr/sbin:/usr/bin:/sbin:/bin \
  /lib/systemd/systemd --system --unit=try.target --log-target=null
