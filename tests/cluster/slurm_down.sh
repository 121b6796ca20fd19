#!/usr/bin/env bash
# End what slurm_up.sh FOLDER started, by its own pid files, and remove its settings.
folder=$1
for file in run/slurmd run/slurmctld run/slurmdbd socket/mariadbd run/munged; do
    pid=$(cat "$folder/$file.pid" 2>/dev/null) || continue
    kill "$pid" 2>/dev/null
    for _ in $(seq 100); do
        kill -0 "$pid" 2>/dev/null || break
        sleep 0.1
    done
    kill -9 "$pid" 2>/dev/null
done
if grep -qxF "# of a test; may be deleted" /etc/slurm/slurm.conf 2>/dev/null; then
    rm -f /etc/slurm/{slurm,slurmdbd,gres}.conf
fi
rm -rf "$folder"
