#!/bin/busybox sh
# The first program of a guest: mounts what there is, serves its disk to itself by NFS, and runs the tests.

/bin/busybox mkdir -p /sbin /usr/bin /usr/sbin /var/tmp /etc /run
/bin/busybox --install -s 2>/dev/null
export PATH=/bin:/sbin:/usr/bin:/usr/sbin HOME=/root
echo root:x:0:0:root:/root:/bin/sh >/etc/passwd
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
while read -r module; do insmod "/modules/$module"; done </modules/list
ip addr add 127.0.0.1/8 dev lo 2>/dev/null
ip link set lo up
mount -t ext4 /dev/vda /disk
echo "guest: Linux $(uname -r)"

# ok NAME COMMAND...: one test of ours.
ok() {
    name=$1
    shift
    if "$@"; then echo "guest: ok: $name"; else echo "guest: FAILED: $name"; fi
}

# Fails with this exit code and these words in what is said, or says what happened instead.
fails() {
    code=$1 words=$2
    shift 2
    said=$("$@" 2>&1)
    got=$?
    case "$got $said" in "$code "*"$words"*) return 0 ;; esac
    echo "$*: exit code $got: $said"
    return 1
}

sum() { (cd "$1" && find . -type f -exec md5sum {} + | sort | md5sum); }

# Exports the disk: what exportfs(8) and rpc.mountd(8) would answer is written into the kernel's caches, to stay until 2038.
serve() {
    mount -t nfsd nfsd /proc/fs/nfsd
    echo "-2 -3 +4" >/proc/fs/nfsd/versions
    # For so many seconds, the fewest there are, no file is opened: clients of a server that was there before come first.
    echo 10 >/proc/fs/nfsd/nfsv4leasetime
    echo 10 >/proc/fs/nfsd/nfsv4gracetime
    echo "nfsd 127.0.0.1 2147483647 *" >/proc/net/rpc/auth.unix.ip/channel
    # Flags: any port, whole file systems, this number for a file system.
    echo "* /disk 2147483647 9218 65534 65534 0" >/proc/net/rpc/nfsd.export/channel
    echo '* 1 \x00000000 2147483647 /disk' >/proc/net/rpc/nfsd.fh/channel
    echo "tcp 2049" >/proc/fs/nfsd/portlist
    echo 2 >/proc/fs/nfsd/threads
    mount -i -t nfs4 -o vers=4.2,addr=127.0.0.1,clientaddr=127.0.0.1 127.0.0.1:/ /nfs
}

ok "the disk is mounted by NFS" serve
before=$(sum /disk/store)
refused="on NFS, a network file system"
ok "a store is not made on NFS" fails 9 "$refused" plyfs --root /nfs/new import /bin/busybox new:1
ok "nothing is left of it" test ! -e /disk/new
ok "a store on NFS is not read as if it could change" fails 9 "$refused" plyfs --root /nfs/store images
ok "a store on NFS takes no name" fails 9 "$refused" plyfs --root /nfs/store tag base:1 other:1
ok "a store on NFS takes no container" fails 9 "$refused" plyfs --root /nfs/store create base:1 c
ok "nothing in it has changed" test "$before" = "$(sum /disk/store)"
umount /nfs

# A container's whole life by the command, on the disk itself.
at() { plyfs --quiet --root /disk/store "$@"; }
ok "a container is created and mounted" at create base:1 c --mount
merged=$(at mount c)
ok "it has what its image has" test "$(cat "$merged/motd")" = hello
ok "the kernel has an overlay there" grep -q " $merged overlay " /proc/mounts
echo more >"$merged/new"
rm "$merged/motd"
ok "it is unmounted" at umount c
ok "what it changed is told" test "$(at changes c | tr '\n' ' ')" = "D /motd A /new "
ok "it is committed" at commit c base:2
ok "the store is sound" at fsck --data

mkdir /disk/tmp
chmod 1777 /disk/tmp
mount --bind /disk/tmp /tmp
mount --bind /disk/tmp /var/tmp
cd /tmp || exit
ulimit -n 65536
while read -r test; do $test 2>&1; done </tests
echo "guest: done"
poweroff -f
