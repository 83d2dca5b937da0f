//! The whole corpus in one go.

use plyfs_testkit::require_root;

use super::case::Case;

#[test]
fn root_every_case_of_the_corpus_keeps_inside_the_wall() {
    require_root!();
    let cases = Case::all();
    assert!(cases.len() >= 40, "{} cases", cases.len());
    cases.iter().for_each(Case::check);
}
