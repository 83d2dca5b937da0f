//! OverlayFS mounts: probing the kernel, planning, mounting, unmounting, mountinfo
