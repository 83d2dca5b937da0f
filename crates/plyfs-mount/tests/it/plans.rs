//! Plans as text: what is decided without a kernel.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use plyfs_mount::{ErrorKind, Feature, Features, MountOptions, Stack, plan};

fn home(path: &str) -> Stack {
    let anywhere: Arc<OwnedFd> = plyfs_sys::fs::open_dir("/").expect("the root").into();
    Stack::new(anywhere, path)
}

/// Plans for a kernel with everything and shows all there is to see.
fn show(stack: Stack, options: &MountOptions) -> String {
    match plan(stack, options, &Features::assume(Feature::all())) {
        Ok(plan) => format!("{}\n{}", plan.options().display(), plan.short_options().display()),
        Err(error) => format!("{:?}: {error}", error.kind()),
    }
}

#[test]
fn a_container_over_its_image() {
    let stack = home("/store").lowers(["l/B", "l/A"]).upper("c/diff", "c/work").empty("empty");
    insta::assert_snapshot!(show(stack, &MountOptions::new()), @r"
    lowerdir=/store/l/B:/store/l/A,upperdir=/store/c/diff,workdir=/store/c/work,redirect_dir=off,metacopy=off,index=off
    lowerdir=l/B:l/A,upperdir=c/diff,workdir=c/work,redirect_dir=off,metacopy=off,index=off
    ");
}

#[test]
fn a_container_without_a_parent_lies_over_the_empty_directory() {
    let stack = home("/store").upper("c/diff", "c/work").empty("empty");
    insta::assert_snapshot!(show(stack, &MountOptions::new()), @r"
    lowerdir=/store/empty,upperdir=/store/c/diff,workdir=/store/c/work,redirect_dir=off,metacopy=off,index=off
    lowerdir=empty,upperdir=c/diff,workdir=c/work,redirect_dir=off,metacopy=off,index=off
    ");
}

#[test]
fn a_view_of_one_layer_lies_over_the_empty_directory_too() {
    insta::assert_snapshot!(show(home("/store").lowers(["l/A"]).empty("empty"), &MountOptions::new()), @r"
    ro,lowerdir=/store/l/A:/store/empty,redirect_dir=off,metacopy=off,index=off
    lowerdir=l/A:empty,redirect_dir=off,metacopy=off,index=off
    ");
}

#[test]
fn a_view_of_two_layers_needs_nothing_more() {
    insta::assert_snapshot!(show(home("/store").lowers(["l/B", "l/A"]).empty("empty"), &MountOptions::new()), @r"
    ro,lowerdir=/store/l/B:/store/l/A,redirect_dir=off,metacopy=off,index=off
    lowerdir=l/B:l/A,redirect_dir=off,metacopy=off,index=off
    ");
}

#[test]
fn every_choice_at_once() {
    let options = MountOptions::new()
        .read_only(true)
        .nosuid(true)
        .nodev(true)
        .noexec(true)
        .volatile(true)
        .userxattr(true)
        .context("system_u:object_r:container_file_t:s0:c1,c2");
    insta::assert_snapshot!(show(home("/store").lowers(["l/A"]).upper("c/diff", "c/work"), &options), @r#"
    ro,nosuid,nodev,noexec,lowerdir=/store/l/A,upperdir=/store/c/diff,workdir=/store/c/work,redirect_dir=nofollow,metacopy=off,index=off,userxattr,volatile,context="system_u:object_r:container_file_t:s0:c1,c2"
    lowerdir=l/A,upperdir=c/diff,workdir=c/work,redirect_dir=nofollow,metacopy=off,index=off,userxattr,volatile,context="system_u:object_r:container_file_t:s0:c1,c2"
    "#);
}

#[test]
fn separators_in_paths_are_escaped_where_they_separate() {
    let stack = home("/a:b,c\\d").lowers(["l/A", "l/x:y"]).upper("c:d/diff", "c,d/work");
    insta::assert_snapshot!(show(stack, &MountOptions::new()), @r"
    lowerdir=/a\:b\,c\\d/l/A:/a\:b\,c\\d/l/x\:y,upperdir=/a:b\,c\\d/c:d/diff,workdir=/a:b\,c\\d/c\,d/work,redirect_dir=off,metacopy=off,index=off
    lowerdir=l/A:l/x\:y,upperdir=c:d/diff,workdir=c\,d/work,redirect_dir=off,metacopy=off,index=off
    ");
}

#[test]
fn what_cannot_be_mounted_is_refused_with_the_reason() {
    let labelled = MountOptions::new().context("a\"b");
    let volatile = MountOptions::new().volatile(true);
    let refused = [
        show(home("/store"), &MountOptions::new()),
        show(home("/store").lowers(["l/A"]), &MountOptions::new()),
        show(home("/store").upper("c/diff", "c/work"), &MountOptions::new()),
        show(home("/store").lowers(["l/A", "../x"]), &MountOptions::new()),
        show(home("/store").lowers(["l/A", "/x"]), &MountOptions::new()),
        show(home("/store").lowers(["l/A", ""]), &MountOptions::new()),
        show(home("/store").lowers(["l/A"]).upper("c/../d", "c/work"), &MountOptions::new()),
        show(home("/store").lowers(["l/A", "l/B"]), &volatile),
        show(home("/store").lowers(["l/A", "l/B"]), &labelled),
    ];
    insta::assert_snapshot!(refused.join("\n"), @r#"
    InvalidInput: a mount needs at least one layer
    InvalidInput: a view of one layer needs an empty directory below it
    InvalidInput: an upper directory alone needs an empty one below it
    InvalidInput: layer directory "../x" is not a plain path below the home
    InvalidInput: layer directory "/x" is not a plain path below the home
    InvalidInput: layer directory "" is not a plain path below the home
    InvalidInput: layer directory "c/../d" is not a plain path below the home
    InvalidInput: a volatile mount needs an upper directory
    InvalidInput: security context "a"b" is empty or holds a quote or NUL
    "#);
}

#[test]
fn an_option_the_kernel_was_found_not_to_have_is_refused() {
    let stack = home("/store").lowers(["l/A"]).upper("c/diff", "c/work");
    let options = MountOptions::new().volatile(true);
    let without = Features::assume(Feature::all()).without(Feature::VOLATILE);
    let error = plan(stack.clone(), &options, &without).expect_err("refused");
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert_eq!(error.to_string(), "this kernel has no overlay option volatile (in Linux since 5.10)");

    let unprobed = Features::assume(Feature::empty());
    assert!(plan(stack, &options, &unprobed).is_ok(), "where nothing could be tried the kernel decides");
}
