//! What the kernel can do is found once a boot, and a hint that is wrong or lost costs nothing but trying again.

use std::fs;

use plyfs_store::Store;
use plyfs_testkit::require_root;

use crate::Fixture;

#[test]
fn root_what_the_kernel_can_do_is_kept_for_this_boot_and_found_again_when_that_is_lost() {
    require_root!();
    let fixture = Fixture::new();
    let file = fixture.store.path().join("kernel");
    let info = || Store::open(fixture.store.path()).expect("opened").info().expect("told").kernel;
    assert!(!file.exists(), "nothing is tried before it is needed");
    let found = info();
    let kept = fs::read_to_string(&file).expect("kept");

    // Another kernel's answer, garbage and nothing at all are each replaced by the truth.
    let (scope, _) = kept.trim_end().split_once('\n').expect("two lines");
    for wrong in [kept.replacen(scope, "another boot", 1), "garbage".to_owned(), String::new()] {
        fs::write(&file, wrong).expect("written");
        assert_eq!(info(), found);
        assert_eq!(fs::read_to_string(&file).expect("kept"), kept);
    }

    // What is kept is used: an answer of this boot is believed as far as one call tells.
    let (_, bits) = kept.trim_end().split_once('\n').expect("two lines");
    let fewer = bits.parse::<u32>().expect("a number") & !(1 << 5);
    fs::write(&file, format!("{scope}\n{fewer}\n")).expect("written");
    assert!(info().iter().any(|line| line.starts_with("volatile         no")), "{:?}", info());

    // Without the first ability of all it is not believed.
    fs::write(&file, format!("{scope}\n0\n")).expect("written");
    assert_eq!(info(), found);
}
