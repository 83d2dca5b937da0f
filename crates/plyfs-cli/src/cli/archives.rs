//! Arguments of the commands that take images in and give them out.

use std::path::PathBuf;

use clap::builder::NonEmptyStringValueParser;
use clap::{Args, ValueEnum};
use plyfs::{Compression, Format};

#[derive(Debug, Args)]
pub(crate) struct Load {
    /// Archive, layout directory, or - for standard input
    #[arg(value_name = "FILE|DIR|-", default_value = "-")]
    pub(crate) source: PathBuf,
    /// The same, as docker and podman spell it
    #[arg(short, long, value_name = "FILE|DIR|-", conflicts_with = "source")]
    pub(crate) input: Option<PathBuf>,
    /// Take the image for this platform where there are several [default: this machine's]
    #[arg(long, value_name = "OS/ARCH[/VARIANT]")]
    pub(crate) platform: Option<String>,
    /// Keep compressed layers as they came, so that they are saved as the same blobs; takes the space of both
    #[arg(long)]
    pub(crate) keep_blobs: bool,
    #[command(flatten)]
    pub(crate) reading: Reading,
}

/// How an archive is read.
#[derive(Debug, Args)]
pub(crate) struct Reading {
    /// Give up when standard input, or what FILE is if no file, gives nothing for this long: 30s, 5m
    #[arg(long, value_name = "DURATION")]
    pub(crate) timeout: Option<String>,
    /// Read zstd streams whose window is up to 2 to the power of N bytes, which decoding holds in memory
    #[arg(long, value_name = "N", default_value_t = 25, value_parser = clap::value_parser!(u32).range(10..=31))]
    pub(crate) zstd_window: u32,
}

#[derive(Debug, Args)]
pub(crate) struct Save {
    /// Names or ids of images; each goes out with the names that are given here
    #[arg(value_name = "IMAGE", required = true, value_parser = NonEmptyStringValueParser::new())]
    pub(crate) images: Vec<String>,
    /// Write to this file or directory, or - for standard output
    #[arg(short, long, value_name = "FILE|DIR|-")]
    pub(crate) output: PathBuf,
    /// Choose the format; oci is a layout in a directory
    #[arg(long, value_name = "FORMAT", default_value = "docker-archive")]
    pub(crate) format: FormatName,
    /// Choose how layers are compressed [default: none for docker-archive; for oci and oci-archive as they came where
    /// they were kept so, else gzip]
    #[arg(long, value_name = "HOW")]
    pub(crate) compression: Option<CompressionName>,
    /// Choose how hard it tries: 1 to 9 for gzip, 1 to 19 for zstd [default: 6 for gzip, 3 for zstd]
    #[arg(long, value_name = "LEVEL")]
    pub(crate) level: Option<u32>,
}

/// A format as it is spelled on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum FormatName {
    DockerArchive,
    OciArchive,
    Oci,
}

impl From<FormatName> for Format {
    fn from(name: FormatName) -> Self {
        match name {
            FormatName::DockerArchive => Self::DockerArchive,
            FormatName::OciArchive => Self::OciArchive,
            FormatName::Oci => Self::OciLayout,
        }
    }
}

/// A compression as it is spelled on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum CompressionName {
    Gzip,
    Zstd,
    None,
}

impl From<CompressionName> for Compression {
    fn from(name: CompressionName) -> Self {
        match name {
            CompressionName::Gzip => Self::Gzip,
            CompressionName::Zstd => Self::Zstd,
            CompressionName::None => Self::None,
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct Import {
    /// Tar archive, compressed or not, directory, or - for standard input
    #[arg(value_name = "FILE|DIR|-")]
    pub(crate) source: PathBuf,
    /// Name of the new image
    pub(crate) image: String,
    /// Put the layer upon those of this image
    #[arg(long, value_name = "IMAGE")]
    pub(crate) parent: Option<String>,
    /// Say where it comes from, in the image's history
    #[arg(short, long, value_name = "M")]
    pub(crate) message: Option<String>,
    /// Change the image's config by this Dockerfile instruction; may be given several times
    #[arg(short, long = "change", value_name = "INSTRUCTION")]
    pub(crate) changes: Vec<String>,
    #[command(flatten)]
    pub(crate) reading: Reading,
}
