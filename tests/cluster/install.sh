#!/bin/sh
# What the tests of clusters need beside Python, on Debian and as root: SLURM, munge, ssh, rsync and namespaces. Starts no service itself.
set -eu
missing=""
for command in slurmctld:slurm-wlm slurmd:slurm-wlm srun:slurm-wlm munged:munge ip:iproute2 nsenter:util-linux \
    sshd:openssh-server ssh:openssh-client rsync:rsync; do
    PATH="$PATH:/usr/sbin:/sbin" command -v "${command%%:*}" >/dev/null || missing="$missing ${command##*:}"
done
[ -z "$missing" ] && exit 0
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
# shellcheck disable=SC2086 # a list of packages
apt-get install -qq -y --no-install-recommends $missing >/dev/null
