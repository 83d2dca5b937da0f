//! Access lists as the kernel keeps them, byte by byte.

/// A list as the attributes `system.posix_acl_*` hold it: the owner and user 1000 may do everything that the mask allows,
/// the group what `group` says, the others what `other` says.
#[must_use]
pub fn acl(group: u16, mask: u16, other: u16) -> Vec<u8> {
    // user, user 1000, group, mask, other
    let entries =
        [(1_u16, 7_u16, u32::MAX), (2, 7, 1000), (4, group, u32::MAX), (16, mask, u32::MAX), (32, other, u32::MAX)];
    let mut bytes = 2_u32.to_le_bytes().to_vec();
    for (tag, permissions, id) in entries {
        bytes.extend(tag.to_le_bytes());
        bytes.extend(permissions.to_le_bytes());
        bytes.extend(id.to_le_bytes());
    }
    bytes
}
