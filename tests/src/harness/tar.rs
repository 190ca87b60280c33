//! Deterministic ustar archives: what a container image is made of, and no more.

/// One entry; owner root, time 0, so that equal input gives equal bytes.
#[derive(Debug, Clone)]
pub(super) enum Entry {
    /// A regular file with its mode.
    File {
        path: String,
        mode: u32,
        content: Vec<u8>,
    },
    /// A directory with its mode.
    Directory { path: String, mode: u32 },
}

const BLOCK: usize = 512;

/// The archive of these entries, in this order.
pub(super) fn archive(entries: &[Entry]) -> Vec<u8> {
    let mut tar = Vec::new();
    for entry in entries {
        match entry {
            Entry::File { path, mode, content } => {
                tar.extend(header(path, *mode, content.len(), b'0'));
                tar.extend(content);
                tar.resize(tar.len().next_multiple_of(BLOCK), 0);
            }
            Entry::Directory { path, mode } => tar.extend(header(&format!("{path}/"), *mode, 0, b'5')),
        }
    }
    tar.resize(tar.len() + 2 * BLOCK, 0);
    tar
}

fn header(path: &str, mode: u32, size: usize, kind: u8) -> [u8; BLOCK] {
    let mut block = [0; BLOCK];
    let mut put = |at: usize, field: &[u8]| block[at..at + field.len()].copy_from_slice(field);
    let path = path.trim_start_matches('/');
    assert!(path.len() <= 100, "{path} is longer than a plain ustar name");
    put(0, path.as_bytes());
    put(100, format!("{mode:07o}\0").as_bytes());
    put(108, b"0000000\0"); // uid
    put(116, b"0000000\0"); // gid
    put(124, format!("{size:011o}\0").as_bytes());
    put(136, b"00000000000\0"); // mtime
    put(148, b"        "); // the checksum counts itself as blanks
    put(156, &[kind]);
    put(257, b"ustar\x0000");
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    block
}
