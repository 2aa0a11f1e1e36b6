#!/bin/sh
# Runs dockerd from a tree of Debian in the namespaces of this process, which has its own mounts, network and processes:
#
#   DOCKER_HOST=unix:///run/NAME.sock unshare --mount --net --pid --ipc --uts --fork docker_engine.sh TREE DIRECTORY REPOSITORY
#
# The tree stays unchanged: the engine's data are in memory, and end with the namespaces. DIRECTORY gets the file `begun`
# when dockerd is about to begin. All containers are in the control group with the name of DIRECTORY.
set -eu

tree=$1
directory=$2
repository=$3
memory=$directory/memory
root=$memory/root

mkdir -p "$memory"
mount -t tmpfs tmpfs "$memory"
mkdir -p "$memory/changes" "$memory/work" "$memory/data" "$root"
mount -t overlay -o "lowerdir=$tree,upperdir=$memory/changes,workdir=$memory/work" overlay "$root"
mkdir -p "$root/var/lib/docker" "$root/src" "$root/wheels" "$root/old"
mount -t proc proc "$root/proc"
mount -t sysfs sysfs "$root/sys"
mount --rbind /sys/fs/cgroup "$root/sys/fs/cgroup"
mount --rbind /dev "$root/dev"
mount -t tmpfs tmpfs "$root/run"
mount --bind "$memory/data" "$root/var/lib/docker"
mount --bind "$repository" "$root/src"
mount --bind "$repository/.venv/wheels-of-image" "$root/wheels"
ip link set lo up
group=$(basename "$directory")
# Fails here, before `begun`, if control groups are forbidden. The first is of version 2, the other of version 1.
for controller in /sys/fs/cgroup/cgroup.procs /sys/fs/cgroup/memory/cgroup.procs; do
    [ ! -e "$controller" ] || mkdir -p "$(dirname "$controller")/$group"
done
touch "$directory/begun"
# Not chroot: `docker exec` and health checks enter a container by its namespace, whose root chroot does not change.
cd "$root"
pivot_root . old
umount --lazy /old
exec tini -- dockerd --host "$DOCKER_HOST" --cgroup-parent "/$group" --exec-opt native.cgroupdriver=cgroupfs
