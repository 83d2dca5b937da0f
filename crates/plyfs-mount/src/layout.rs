//! The kernel's names, limits and magic numbers, each typed once.

/// The file system type, and the source that the mount table shows.
pub(crate) const OVERLAY: &str = "overlay";

/// The kernel's `OVL_MAX_STACK`: lower layers of one mount, an added empty one included (rule 62).
pub const MAX_LOWERS: usize = 500;

/// `mount(2)` takes its options in one page and cuts silently what is longer (rule 62).
pub(crate) const PAGE: usize = 4096;

/// Bytes of options that fit into the page before its NUL.
pub(crate) const MAX_OPTIONS: usize = PAGE - 1;

/// Bytes `fsconfig(2)` takes as one string value, without its NUL.
pub(crate) const MAX_VALUE: usize = 255;

/// Bytes one lower costs as a descriptor's number: five digits and the colon.
///
/// `fs.nr_open` may be set above 99,999; a table that full is refused when the options are written, not here.
const NUMBER_COST: usize = 6;

/// What is kept for upper, work, the fixed settings and a security label beside 500 numbers.
const RESERVED: usize = 1024;

// 500 lowers by number must fit into the page, else the classic engine would promise what it cannot hold.
const _: () = assert!(MAX_LOWERS * NUMBER_COST + RESERVED <= MAX_OPTIONS);

/// One lower appended by `fsconfig(2)`, below those before it.
pub(crate) const LOWER_APPEND: &str = "lowerdir+";
pub(crate) const LOWER: &str = "lowerdir";
pub(crate) const UPPER: &str = "upperdir";
pub(crate) const WORK: &str = "workdir";

/// What the kernel leaves in a work directory for as long as nobody vouches for a volatile mount's upper (rule 67).
pub(crate) const VOLATILE_MARK: &str = "work/incompat/volatile";

/// File systems that cannot hold an upper directory: magic number, name, reason.
pub(crate) const NO_UPPER: [(u64, &str, &str); 6] = [
    (0x794c_7630, "overlay", "whiteouts cannot be made inside an overlay mount; use a volume of another file system"),
    (0x0000_6969, "nfs", "it has no trusted extended attributes and no whiteouts"),
    (0xff53_4d42, "cifs", "it has no trusted extended attributes and no whiteouts"),
    (0xfe53_4d42, "smb2", "it has no trusted extended attributes and no whiteouts"),
    (0x0000_4d44, "vfat", "it has no owners, modes or extended attributes"),
    (0x2011_bab0, "exfat", "it has no owners, modes or extended attributes"),
];
