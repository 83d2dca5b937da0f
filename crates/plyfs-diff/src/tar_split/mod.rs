//! What a layer's directory does not tell of the archive it came from, and the archive put together again.
//!
//! A *record* is what vbatts' tar-split writes and Docker and podman store beside each layer: one JSON object a line,
//! uncompressed here. A line of type 2 holds raw bytes of the archive: headers, padding, the end. A line of type 1 stands
//! for the content of a file: its name in the layer, its size, its CRC-64. In order, they are the archive.
//!
//! ```text
//! {"type":2,"payload":"ZXRjLwAAAAAA...","position":0}
//! {"type":1,"name":"etc/","payload":null,"position":1}
//! {"type":2,"payload":"ZXRjL2hvc3Rz...","position":2}
//! {"type":1,"name":"etc/hosts","size":12,"payload":"RqPWfgAVMFA=","position":3}
//! ```
//!
//! Where a name is the archive's own it is written as the archive has it. Where the content ended up elsewhere, because a
//! symbolic link of a lower layer led there, it is the path in the layer. Content that the layer does not hold in the end
//! (of a path that came twice, of a sparse file) is in lines of type 2: any reader of the format can rebuild the archive.

mod rebuild;
mod writer;

pub use rebuild::{Archive, rebuild};
pub use writer::Writer;

use crc_fast::{CrcAlgorithm, Digest};

/// The type of a line that stands for a file.
const FILE: u8 = 1;

/// The type of a line with raw bytes.
const SEGMENT: u8 = 2;

/// The CRC-64 of the format: Go's ISO table.
#[derive(Clone, Debug)]
pub(crate) struct Crc64(Digest);

impl Crc64 {
    pub(crate) fn new() -> Self {
        Self(Digest::new(CrcAlgorithm::Crc64GoIso))
    }

    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    pub(crate) fn value(&self) -> u64 {
        self.0.finalize()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_that_of_go() {
        let mut crc = Crc64::new();
        crc.update(b"12345");
        crc.update(b"6789");
        assert_eq!(crc.value(), 0xb909_56c7_75a4_1001);
    }
}
