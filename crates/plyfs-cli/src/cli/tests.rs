//! The command line holds together, and says of itself what is so.

use clap::CommandFactory;
use plyfs::{Compression, Format};

use super::archives::{CompressionName, FormatName};
use super::*;

#[test]
fn the_definitions_are_consistent() {
    Cli::command().debug_assert();
}

#[test]
fn help_is_in_the_imperative_and_ends_without_a_full_stop() {
    fn check(command: &clap::Command) {
        let about = command.get_about().map(ToString::to_string);
        let helps = command.get_arguments().filter_map(|arg| arg.get_help().map(ToString::to_string));
        for line in about.into_iter().chain(helps) {
            assert!(!line.ends_with('.'), "{line:?}");
            assert!(line.starts_with(char::is_uppercase), "{line:?}");
        }
        command.get_subcommands().for_each(check);
    }
    check(&Cli::command());
}

#[test]
fn the_spelling_of_formats_is_that_of_the_library() {
    for name in FormatName::value_variants() {
        let spelled = name.to_possible_value().expect("none is hidden");
        assert_eq!(Format::from(*name).to_string(), spelled.get_name());
    }
    for name in CompressionName::value_variants() {
        let spelled = name.to_possible_value().expect("none is hidden");
        assert_eq!(Compression::from(*name).to_string(), spelled.get_name());
    }
}

#[test]
fn a_label_splits_at_its_first_equals_sign() {
    assert_eq!(label("a=b=c"), Ok(("a".to_owned(), "b=c".to_owned())));
    assert_eq!(label("a"), Ok(("a".to_owned(), String::new())));
    assert!(label("=b").is_err());
}
