#!/usr/bin/env bash
# A real Slurm cluster of one node on loopback, with accounting and two counted stand-in GPUs, from bare daemons; for root, without systemd.
#     slurm_up.sh FOLDER      state and logs go there; slurm_down.sh FOLDER ends what was started
# Jobs look for /etc/slurm/slurm.conf, whatever the environment says. One that is not of a test is left alone.
set -euo pipefail
folder=$1
mark="# of a test; may be deleted"
if [ -e /etc/slurm/slurm.conf ] && ! grep -qxF "$mark" /etc/slurm/slurm.conf; then
    echo "error: /etc/slurm/slurm.conf is there already, and not of a test" >&2
    exit 1
fi
rm -rf "$folder"
mkdir -p "$folder"/{ctld,d,log,run,db} /etc/slurm
chmod 755 "$folder" "$folder"/*
host=$(hostname -s)
memory=$(($(awk '/MemTotal/ {print $2}' /proc/meminfo) / 1024 - 1024))

wait_for() { # SECONDS COMMAND...
    local end=$((SECONDS + $1))
    shift
    until "$@" >/dev/null 2>&1; do
        if [ $SECONDS -ge $end ]; then
            echo "error: in vain: $*" >&2
            tail -n 20 "$folder"/log/*.log >&2
            exit 1
        fi
        sleep 0.2
    done
}

head -c 1024 /dev/urandom >"$folder/munge.key"
chmod 400 "$folder/munge.key"
munged --key-file="$folder/munge.key" --socket="$folder/run/munge.sock" --pid-file="$folder/run/munged.pid" \
    --log-file="$folder/log/munged.log" --seed-file="$folder/run/munge.seed"

# accounting: slurmdbd before a MariaDB of its own
chown mysql: "$folder/db"
mariadb-install-db --no-defaults --user=mysql --datadir="$folder/db" --auth-root-authentication-method=socket >"$folder/log/install.log" 2>&1
mkdir "$folder/socket"
chown mysql: "$folder/socket"
mariadbd --no-defaults --user=mysql --datadir="$folder/db" --socket="$folder/socket/s" --pid-file="$folder/socket/mariadbd.pid" \
    --bind-address=127.0.0.1 --port=16820 --innodb-buffer-pool-size=64M >"$folder/log/mariadbd.log" 2>&1 &
wait_for 30 mariadb-admin --no-defaults -S "$folder/socket/s" ping
mariadb --no-defaults -S "$folder/socket/s" -e "create database slurm_acct_db;
    create user slurm@localhost identified by 'test'; grant all on slurm_acct_db.* to slurm@localhost;
    create user slurm@'127.0.0.1' identified by 'test'; grant all on slurm_acct_db.* to slurm@'127.0.0.1';"
cat >/etc/slurm/slurmdbd.conf <<EOF
$mark
AuthType=auth/munge
AuthInfo=socket=$folder/run/munge.sock
DbdHost=localhost
DbdPort=16819
SlurmUser=root
StorageType=accounting_storage/mysql
StorageHost=127.0.0.1
StoragePort=16820
StorageUser=slurm
StoragePass=test
StorageLoc=slurm_acct_db
PidFile=$folder/run/slurmdbd.pid
LogFile=$folder/log/slurmdbd.log
EOF
chmod 600 /etc/slurm/slurmdbd.conf

# more CPUs than there may be, so that the profile's jobs fit
cat >/etc/slurm/slurm.conf <<EOF
$mark
ClusterName=test
SlurmctldHost=$host(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket=$folder/run/munge.sock
CryptoType=crypto/munge
SlurmctldPort=16817
SlurmdPort=16818
StateSaveLocation=$folder/ctld
SlurmdSpoolDir=$folder/d
SlurmctldPidFile=$folder/run/slurmctld.pid
SlurmdPidFile=$folder/run/slurmd.pid
SlurmctldLogFile=$folder/log/slurmctld.log
SlurmdLogFile=$folder/log/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
JobAcctGatherParams=OverMemoryKill
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=localhost
AccountingStoragePort=16819
AccountingStoragePass=$folder/run/munge.sock
AccountingStorageTRES=gres/gpu
AccountingStoreFlags=job_comment
AccountingStorageEnforce=associations
JobCompType=jobcomp/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerParameters=sched_interval=1,sched_min_interval=0,batch_sched_delay=0
SlurmdParameters=config_overrides
MpiDefault=none
ReturnToService=2
KillWait=5
GresTypes=gpu
NodeName=$host NodeAddr=127.0.0.1 CPUs=16 RealMemory=$memory Gres=gpu:2 Features=matrix_units State=UNKNOWN
PartitionName=main Nodes=$host Default=YES MaxTime=INFINITE State=UP
EOF
# Slurm only counts them, and sets CUDA_VISIBLE_DEVICES
printf "NodeName=$host Name=gpu File=%s\n" /dev/null /dev/zero >/etc/slurm/gres.conf

slurmdbd
wait_for 30 sacctmgr --noheader show cluster
sacctmgr --immediate add cluster test >/dev/null || true # slurmctld may have been faster
sacctmgr --immediate add account project description=test organization=test >/dev/null
sacctmgr --immediate add user root account=project >/dev/null
slurmctld -c
slurmd -c
wait_for 30 sh -c "sinfo --noheader --format %T | grep -qx idle"
wait_for 30 timeout 20 srun --quiet --ntasks=1 true
