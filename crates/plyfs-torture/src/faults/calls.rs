//! System calls by name, and which of them cannot be made to fail for a reason.

use libc::c_long;

/// What an injected failure of a call does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum How {
    /// The call is not made.
    Instead,
    /// The call is made and fails all the same: what it gives back is gone whatever it answers.
    Afterwards,
    /// It is left alone, for this reason.
    Never(&'static str),
}

const ALLOCATOR: How = How::Never("Rust's allocator aborts the process where memory runs out");
const LOCKS: How = How::Never("locks and parked threads of the standard library count on it");
const THREADS: How = How::Never("the C library and Rust's runtime set a thread up with it and abort");
const RANDOM: How = How::Never("cannot fail once the kernel's generator is seeded, and Rust's maps count on it");
const ENDING: How = How::Never("ends a thread or the process");
const TIME: How = How::Never("fails for bad arguments alone, and Rust panics");

/// Calls by number, for messages and for what is special about them.
const CALLS: &[(c_long, &str, How)] = &[
    (libc::SYS_access, "access", How::Instead),
    (libc::SYS_brk, "brk", ALLOCATOR),
    (libc::SYS_chmod, "chmod", How::Instead),
    (libc::SYS_clock_gettime, "clock_gettime", TIME),
    (libc::SYS_clock_nanosleep, "clock_nanosleep", TIME),
    (libc::SYS_clone, "clone", How::Instead),
    (libc::SYS_clone3, "clone3", How::Instead),
    (libc::SYS_close, "close", How::Afterwards),
    (libc::SYS_copy_file_range, "copy_file_range", How::Instead),
    (libc::SYS_dup, "dup", How::Instead),
    (libc::SYS_exit, "exit", ENDING),
    (libc::SYS_exit_group, "exit_group", ENDING),
    (libc::SYS_faccessat, "faccessat", How::Instead),
    (libc::SYS_faccessat2, "faccessat2", How::Instead),
    (libc::SYS_fadvise64, "fadvise64", How::Instead),
    (libc::SYS_fallocate, "fallocate", How::Instead),
    (libc::SYS_fchdir, "fchdir", How::Instead),
    (libc::SYS_fchmod, "fchmod", How::Instead),
    (libc::SYS_fchmodat, "fchmodat", How::Instead),
    (libc::SYS_fchmodat2, "fchmodat2", How::Instead),
    (libc::SYS_fchown, "fchown", How::Instead),
    (libc::SYS_fchownat, "fchownat", How::Instead),
    (libc::SYS_fcntl, "fcntl", How::Instead),
    (libc::SYS_fdatasync, "fdatasync", How::Instead),
    (libc::SYS_fgetxattr, "fgetxattr", How::Instead),
    (libc::SYS_flistxattr, "flistxattr", How::Instead),
    (libc::SYS_flock, "flock", How::Instead),
    (libc::SYS_fremovexattr, "fremovexattr", How::Instead),
    (libc::SYS_fsconfig, "fsconfig", How::Instead),
    (libc::SYS_fsetxattr, "fsetxattr", How::Instead),
    (libc::SYS_fsmount, "fsmount", How::Instead),
    (libc::SYS_fsopen, "fsopen", How::Instead),
    (libc::SYS_fstat, "fstat", How::Instead),
    (libc::SYS_fstatfs, "fstatfs", How::Instead),
    (libc::SYS_fsync, "fsync", How::Instead),
    (libc::SYS_ftruncate, "ftruncate", How::Instead),
    (libc::SYS_futex, "futex", LOCKS),
    (libc::SYS_getdents64, "getdents64", How::Instead),
    (libc::SYS_getegid, "getegid", How::Never("cannot fail")),
    (libc::SYS_geteuid, "geteuid", How::Never("cannot fail")),
    (libc::SYS_getpid, "getpid", How::Never("cannot fail")),
    (libc::SYS_getrandom, "getrandom", RANDOM),
    (libc::SYS_gettid, "gettid", How::Never("cannot fail")),
    (libc::SYS_getuid, "getuid", How::Never("cannot fail")),
    (libc::SYS_getxattr, "getxattr", How::Instead),
    (libc::SYS_lgetxattr, "lgetxattr", How::Instead),
    (libc::SYS_linkat, "linkat", How::Instead),
    (libc::SYS_llistxattr, "llistxattr", How::Instead),
    (libc::SYS_lremovexattr, "lremovexattr", How::Instead),
    (libc::SYS_lseek, "lseek", How::Instead),
    (libc::SYS_lsetxattr, "lsetxattr", How::Instead),
    (libc::SYS_madvise, "madvise", ALLOCATOR),
    (libc::SYS_mkdir, "mkdir", How::Instead),
    (libc::SYS_mkdirat, "mkdirat", How::Instead),
    (libc::SYS_mknodat, "mknodat", How::Instead),
    (libc::SYS_mmap, "mmap", How::Instead),
    (libc::SYS_mount, "mount", How::Instead),
    (libc::SYS_mount_setattr, "mount_setattr", How::Instead),
    (libc::SYS_move_mount, "move_mount", How::Instead),
    (libc::SYS_mprotect, "mprotect", ALLOCATOR),
    (libc::SYS_mremap, "mremap", ALLOCATOR),
    (libc::SYS_munmap, "munmap", How::Afterwards),
    (libc::SYS_newfstatat, "newfstatat", How::Instead),
    (libc::SYS_open_tree, "open_tree", How::Instead),
    (libc::SYS_openat, "openat", How::Instead),
    (libc::SYS_openat2, "openat2", How::Instead),
    (libc::SYS_pipe2, "pipe2", How::Instead),
    (libc::SYS_poll, "poll", How::Instead),
    (libc::SYS_prctl, "prctl", THREADS),
    (libc::SYS_pread64, "pread64", How::Instead),
    (libc::SYS_preadv, "preadv", How::Instead),
    (libc::SYS_pwrite64, "pwrite64", How::Instead),
    (libc::SYS_pwritev, "pwritev", How::Instead),
    (libc::SYS_read, "read", How::Instead),
    (libc::SYS_readlink, "readlink", How::Instead),
    (libc::SYS_readlinkat, "readlinkat", How::Instead),
    (libc::SYS_readv, "readv", How::Instead),
    (libc::SYS_rename, "rename", How::Instead),
    (libc::SYS_renameat, "renameat", How::Instead),
    (libc::SYS_renameat2, "renameat2", How::Instead),
    (libc::SYS_restart_syscall, "restart_syscall", How::Never("the kernel's own")),
    (libc::SYS_rmdir, "rmdir", How::Instead),
    (libc::SYS_rseq, "rseq", THREADS),
    (libc::SYS_rt_sigaction, "rt_sigaction", THREADS),
    (libc::SYS_rt_sigprocmask, "rt_sigprocmask", THREADS),
    (libc::SYS_rt_sigreturn, "rt_sigreturn", THREADS),
    (libc::SYS_sched_getaffinity, "sched_getaffinity", How::Instead),
    (libc::SYS_sched_yield, "sched_yield", LOCKS),
    (libc::SYS_sendfile, "sendfile", How::Instead),
    (libc::SYS_set_robust_list, "set_robust_list", THREADS),
    (libc::SYS_setxattr, "setxattr", How::Instead),
    (libc::SYS_sigaltstack, "sigaltstack", THREADS),
    (libc::SYS_stat, "stat", How::Instead),
    (libc::SYS_statfs, "statfs", How::Instead),
    (libc::SYS_statx, "statx", How::Instead),
    (libc::SYS_symlinkat, "symlinkat", How::Instead),
    (libc::SYS_sync_file_range, "sync_file_range", How::Instead),
    (libc::SYS_syncfs, "syncfs", How::Instead),
    (libc::SYS_umount2, "umount2", How::Instead),
    (libc::SYS_uname, "uname", How::Never("cannot fail")),
    (libc::SYS_unlink, "unlink", How::Instead),
    (libc::SYS_unlinkat, "unlinkat", How::Instead),
    (libc::SYS_unshare, "unshare", How::Instead),
    (libc::SYS_utimensat, "utimensat", How::Instead),
    (libc::SYS_write, "write", How::Instead),
    (libc::SYS_writev, "writev", How::Instead),
];

/// The name of a call.
#[must_use]
pub(super) fn name(number: c_long) -> String {
    CALLS.iter().find(|(n, ..)| *n == number).map_or_else(|| format!("syscall {number}"), |(_, name, _)| (*name).into())
}

/// What a failure of the call does; `descriptor` is its fifth argument, which tells a mapped file from memory.
#[must_use]
pub(super) fn how(number: c_long, descriptor: i32) -> How {
    if number == libc::SYS_mmap && descriptor < 0 {
        return ALLOCATOR;
    }
    CALLS.iter().find(|(n, ..)| *n == number).map_or(How::Instead, |(.., how)| *how)
}

/// Says whether the call makes something durable: after it failed nobody knows what the disk has.
#[must_use]
pub(super) fn is_sync(name: &str) -> bool {
    matches!(name, "fsync" | "fdatasync" | "syncfs" | "sync_file_range")
}
