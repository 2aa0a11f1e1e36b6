#!/bin/sh
# Makes RabbitMQ from another release of Debian available to the tests, in a chroot under a directory:
#
#     RABBITMQ_SERVER=$(scripts/rabbitmq-of-debian.sh trixie) make test     # RabbitMQ 4.0
#     RABBITMQ_SERVER=$(scripts/rabbitmq-of-debian.sh sid) make test        # RabbitMQ 4.3 (November 2026)
#
# It needs root, and debootstrap, which it installs with apt. It prints the path of rabbitmq-server; the other tools
# are next to it. They run in the chroot with the caller's /tmp, /proc and /dev.
set -eu

release=${1:?usage: rabbitmq-of-debian.sh RELEASE [DIRECTORY]}
directory=${2:-/opt/rabbitmq-of-debian}/$release
root=$directory/root

if [ ! -e "$directory/.installed" ]; then
    command -v debootstrap >/dev/null || apt-get install -y -q debootstrap >&2
    rm -rf --one-file-system "$root"
    mkdir -p "$root"
    debootstrap --variant=minbase --include=rabbitmq-server "$release" "$root" >&2
    for tool in rabbitmq-server rabbitmqctl rabbitmq-plugins rabbitmq-queues rabbitmq-diagnostics rabbitmq-streams; do
        printf '#!/bin/sh\nexec chroot %s env -C "$PWD" /usr/lib/rabbitmq/bin/%s "$@"\n' "$root" "$tool" >"$directory/$tool"
        chmod +x "$directory/$tool"
    done
    cp /etc/hosts "$root/etc/hosts"
    touch "$directory/.installed"
fi

for shared in /tmp /proc /dev; do
    mountpoint -q "$root$shared" || mount --rbind "$shared" "$root$shared" >&2
done
echo "$directory/rabbitmq-server"
