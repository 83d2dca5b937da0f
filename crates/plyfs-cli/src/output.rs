//! The one way to standard output: lines, tables, JSON, and archives as bytes.
//!
//! Rust ignores SIGPIPE, so a reader that goes away shows as `EPIPE` here, wherever the write came from; it ends the
//! command quietly: with success after a listing, of which the reader had what it wanted, and not in the middle of an archive
//! or a file, which whoever has the rest must not take for whole. Nothing else in the program writes there.

use std::fs::File;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use comfy_table::presets::NOTHING;
use comfy_table::{Cell, CellAlignment, ContentArrangement, Table};
use serde::Serialize;

use crate::exit::{Failure, Result};
use crate::human;

/// Standard output, and how it was asked to look.
#[derive(Debug)]
pub(crate) struct Output {
    out: BufWriter<Stdout>,
    json: bool,
    quiet: bool,
    /// An archive or a file was begun on it.
    has_data: bool,
}

impl Output {
    /// Takes a descriptor of its own to standard output.
    pub(crate) fn new(json: bool, quiet: bool) -> Result<Self> {
        Ok(Self { out: BufWriter::new(Stdout::open()?), json, quiet, has_data: false })
    }

    /// Says whether JSON was asked for.
    pub(crate) fn is_json(&self) -> bool {
        self.json
    }

    /// Says whether only names and ids were asked for.
    pub(crate) fn is_quiet(&self) -> bool {
        self.quiet
    }

    /// Prints bytes and a newline.
    pub(crate) fn line(&mut self, text: impl AsRef<[u8]>) -> Result<()> {
        let written = self.out.write_all(text.as_ref()).and_then(|()| self.out.write_all(b"\n"));
        written.map_err(|error| self.failed(error))
    }

    /// Prints an object, or an array of them, in JSON.
    pub(crate) fn json(&mut self, value: &impl Serialize) -> Result<()> {
        let text = serde_json::to_string_pretty(value).map_err(|error| self.failed(error.into()))?;
        self.line(human::plain_json(&text))
    }

    /// Prints what a command answers: a line for people, or an object.
    pub(crate) fn answer(&mut self, line: impl AsRef<[u8]>, value: &impl Serialize) -> Result<()> {
        if self.json { self.json(value) } else { self.line(line) }
    }

    /// Prints a listing: JSON, or one name or id a line, or a table.
    pub(crate) fn listing<T: Serialize>(
        &mut self,
        items: &[T],
        name: impl Fn(&T) -> String,
        table: impl FnOnce(&[T]) -> Columns,
    ) -> Result<()> {
        if self.json {
            return self.json(&items);
        }
        if self.quiet {
            return items.iter().try_for_each(|item| self.line(name(item)));
        }
        self.table(table(items))
    }

    /// Prints a table.
    pub(crate) fn table(&mut self, columns: Columns) -> Result<()> {
        let lines = columns.lines();
        lines.iter().try_for_each(|line| self.line(line))
    }

    /// Hands out a writer of bytes; what was printed before stands before them.
    pub(crate) fn bytes(&mut self) -> Result<Stdout> {
        self.flush()?;
        self.has_data = true;
        Ok(self.out.get_ref().clone())
    }

    /// The same for an archive, which no terminal shows.
    pub(crate) fn archive(&mut self) -> Result<Stdout> {
        let stdout = self.bytes()?;
        if stdout.is_terminal() {
            let failure = Failure::usage("an archive is no sight for a terminal");
            return Err(failure.hint("redirect standard output, or name a file"));
        }
        Ok(stdout)
    }

    /// Writes out what is buffered.
    pub(crate) fn flush(&mut self) -> Result<()> {
        self.out.flush().map_err(|error| self.failed(error))
    }

    /// Says whether a write found that nobody reads any more.
    pub(crate) fn reader_is_gone(&self) -> bool {
        self.out.get_ref().gone.load(Ordering::Relaxed)
    }

    /// What it means that nobody reads any more.
    pub(crate) fn reader_gone(&self) -> Failure {
        Failure::reader_gone(self.has_data)
    }

    fn failed(&self, error: io::Error) -> Failure {
        if self.reader_is_gone() { self.reader_gone() } else { Failure::stream("write to standard output", error) }
    }
}

impl Drop for Output {
    /// Nothing is buffered any more unless the command failed on the way; what it had printed is still data.
    fn drop(&mut self) {
        let _ = self.out.flush();
    }
}

/// Standard output as bytes, by a descriptor of its own.
#[derive(Clone, Debug)]
pub(crate) struct Stdout {
    file: Arc<File>,
    gone: Arc<AtomicBool>,
}

impl Stdout {
    fn open() -> Result<Self> {
        let file = io::stdout().as_fd().try_clone_to_owned();
        let file = file.map_err(|error| Failure::stream("open standard output", error))?;
        Ok(Self { file: Arc::new(file.into()), gone: Arc::default() })
    }

    /// Says whether a person would see the bytes.
    pub(crate) fn is_terminal(&self) -> bool {
        self.file.is_terminal()
    }
}

impl Write for Stdout {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        (&*self.file).write(bytes).inspect_err(|error| {
            if error.kind() == io::ErrorKind::BrokenPipe {
                self.gone.store(true, Ordering::Relaxed);
            }
        })
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A table: headers, rows, and which columns hold numbers.
#[derive(Debug)]
pub(crate) struct Columns {
    table: Table,
    numbers: Vec<bool>,
}

impl Columns {
    /// A table with these headers; one that ends in `>` stands over numbers, aligned to the right.
    pub(crate) fn new<const N: usize>(headers: [&str; N]) -> Self {
        let numbers = headers.map(|header| header.ends_with('>'));
        let mut table = Table::new();
        // As wide as it needs: a line is one row for `grep` and `awk`, wherever it is printed.
        table.load_style(NOTHING).set_content_arrangement(ContentArrangement::Disabled);
        let mut columns = Self { table, numbers: numbers.to_vec() };
        if headers.iter().any(|header| !header.trim_end_matches('>').is_empty()) {
            let cells = columns.cells(headers.map(|header| header.trim_end_matches('>').to_owned()));
            columns.table.set_header(cells);
        }
        columns
    }

    /// Adds a row; foreign text cannot break it.
    pub(crate) fn row<const N: usize>(&mut self, cells: [String; N]) {
        let cells = self.cells(cells);
        self.table.add_row(cells);
    }

    fn cells<const N: usize>(&self, cells: [String; N]) -> Vec<Cell> {
        let aligned = |(text, is_number): (String, &bool)| {
            let alignment = if *is_number { CellAlignment::Right } else { CellAlignment::Left };
            Cell::new(human::one_line(&text)).set_alignment(alignment)
        };
        cells.into_iter().zip(&self.numbers).map(aligned).collect()
    }

    /// The lines, two spaces between columns and none at the ends.
    fn lines(mut self) -> Vec<String> {
        let last = self.table.column_count().saturating_sub(1);
        for (index, column) in self.table.column_iter_mut().enumerate() {
            column.set_padding((0, if index == last { 0 } else { 2 }));
        }
        if self.table.is_empty() && self.table.header().is_none() {
            return Vec::new();
        }
        self.table.lines().map(|line| line.trim_end().to_owned()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_has_no_borders_and_numbers_to_the_right() {
        let mut columns = Columns::new(["NAME", "SIZE>", "IMAGE"]);
        columns.row(["a".into(), "1 B".into(), "x".into()]);
        columns.row(["bbb\n".into(), "12.3 kB".into(), String::new()]);
        insta::assert_snapshot!(columns.lines().join("\n"), @r"
        NAME      SIZE  IMAGE
        a          1 B  x
        bbb\n  12.3 kB
        ");
    }

    #[test]
    fn a_table_without_rows_still_has_its_headers() {
        assert_eq!(Columns::new(["NAME", "ID"]).lines(), ["NAME  ID"]);
    }

    #[test]
    fn a_table_without_headers_begins_with_its_first_row() {
        let mut columns = Columns::new(["", ">"]);
        columns.row(["stored once".into(), "1 B".into()]);
        assert_eq!(columns.lines(), ["stored once  1 B"]);
    }
}
