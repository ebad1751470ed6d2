#!/bin/sh
# What the tests of clusters need beside Python, on Debian and as root: SLURM, munge, ssh, rsync, namespaces, Prometheus, libfaketime. The tests
# start what they need on loopback or in networks of their own, so no service of a package is started here, and Prometheus, which would listen
# on every address, not at the next boot either.
set -eu
missing=""
for command in slurmctld:slurm-wlm slurmd:slurm-wlm srun:slurm-wlm munged:munge ip:iproute2 nsenter:util-linux \
    sshd:openssh-server ssh:openssh-client rsync:rsync prometheus:prometheus faketime:faketime; do
    PATH="$PATH:/usr/sbin:/sbin" command -v "${command%%:*}" >/dev/null || missing="$missing ${command##*:}"
done
[ -z "$missing" ] && exit 0
export DEBIAN_FRONTEND=noninteractive
policy=/usr/sbin/policy-rc.d # how Debian asks whether a package may start its service
if [ ! -e $policy ]; then
    trap 'rm -f $policy' EXIT
    trap 'exit 1' HUP INT TERM
    printf '#!/bin/sh\nexit 101\n' >$policy
    chmod 755 $policy
fi
apt-get update -qq
# shellcheck disable=SC2086 # a list of packages
apt-get install -qq -y --no-install-recommends $missing >/dev/null
case "$missing" in *prometheus*) update-rc.d prometheus disable >/dev/null ;; esac
