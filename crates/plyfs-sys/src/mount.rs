//! What the kernel says of single mounts.

/// What `statmount(2)` takes: its size, four bytes of zero, the mount, what to tell.
#[repr(C)]
struct Request {
    size: u32,
    zero: u32,
    mount: u64,
    what: u64,
}

/// Says whether the mount with this unique id is in the calling thread's mount namespace: always no where the kernel cannot
/// tell, before Linux 6.8.
#[must_use]
#[allow(unsafe_code)]
pub fn is_in_own_namespace(id: u64) -> bool {
    /// One number on every architecture but MIPS, which has no call of this number.
    const STATMOUNT: libc::c_long = 457;
    /// `STATMOUNT_MNT_BASIC`.
    const BASIC: u64 = 2;
    let request = Request { size: 24, zero: 0, mount: id, what: BASIC };
    let mut answer = [0_u64; 64];
    // SAFETY: the request is as long as it says, and the kernel writes at most as many bytes as it is told the buffer has,
    // which is borrowed for the call.
    let result =
        unsafe { libc::syscall(STATMOUNT, &raw const request, answer.as_mut_ptr(), size_of_val(&answer), 0_u32) };
    result == 0
}

#[cfg(test)]
mod tests {
    use rustix::fs::{AtFlags, CWD, StatxFlags, statx};

    use super::*;

    /// `STATX_MNT_ID_UNIQUE`.
    const UNIQUE: StatxFlags = StatxFlags::from_bits_retain(0x4000);

    #[test]
    fn the_root_is_in_this_namespace_and_a_mount_that_never_was_is_not() {
        let root = statx(CWD, "/", AtFlags::empty(), UNIQUE).expect("a root");
        if root.stx_mask & UNIQUE.bits() != 0 {
            assert!(is_in_own_namespace(root.stx_mnt_id));
        }
        assert!(!is_in_own_namespace(u64::MAX));
    }
}
