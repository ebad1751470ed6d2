#!/bin/sh
# Ends the Ray processes on this machine whose temporary folder is the given one, and waits until they are gone. (`ray stop` ends every Ray
# process that the user has on the machine, also those of another search.) The processes that a raylet started end with it.
folder=${1:-/tmp/mtsearch-ray}
folder=$(printf %s "$folder" | sed 's/[].[*^$+?(){}|\\]/\\&/g') # escaped, because pgrep expects a pattern
pattern="=$folder/session_" # part of the command line of each process, such as --session-dir=...
tries=0
pkill -u "$(id -u)" -f -- "$pattern"
while pgrep -u "$(id -u)" -f -- "$pattern" > /dev/null; do
    tries=$((tries + 1))
    [ "$tries" -ne 50 ] || pkill -KILL -u "$(id -u)" -f -- "$pattern" # after ten seconds
    [ "$tries" -lt 100 ] || { echo "these do not end: $(pgrep -u "$(id -u)" -f -- "$pattern" | tr '\n' ' ')" >&2; exit 1; }
    sleep 0.2
done
