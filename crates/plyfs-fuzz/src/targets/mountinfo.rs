//! The kernel's mount table: every line is an entry, or the table is refused.

use plyfs_mount::mountinfo;

pub(crate) fn run(data: &[u8]) {
    let Ok(entries) = mountinfo::parse(data) else { return };
    let text = data.strip_suffix(b"\n").unwrap_or(data);
    let lines = if data.is_empty() { 0 } else { text.split(|&byte| byte == b'\n').count() };
    assert_eq!(entries.len(), lines, "no line is passed over");
    for entry in entries {
        let (lowers, upper) = (entry.lowers(), entry.upper());
        let length: usize = lowers.iter().map(|lower| lower.len()).sum();
        assert!(length <= data.len(), "unescaping makes nothing longer");
        assert!(upper.is_none_or(|upper| upper.len() <= data.len()), "unescaping makes nothing longer");
        let _ = entry.is_over("overlay2/x/diff");
    }
}
