//! Small files that are written as a whole: 8 bytes that say the form, 24 of a digest, then what they hold.

use std::fs;
use std::io::{self, ErrorKind, Read};
use std::path::Path;

use sha2::{Digest, Sha256};

use super::platform;

/// What such a file is for.
pub(super) struct Form {
    /// How it begins.
    pub(super) mark: &'static [u8; 8],
    /// The most bytes that it holds. A longer one is torn, and is not read to its end.
    pub(super) most: usize,
}

/// What lies under a path.
pub(super) enum Sealed {
    Nothing,
    Whole(Vec<u8>),
    /// Not what was written under that name, or part of it.
    Torn,
}

impl Form {
    /// A whole file, for `name` only: under another's it is torn.
    pub(super) fn seal(&self, name: &[u8; 32], content: &[u8]) -> Vec<u8> {
        let mut bytes = self.mark.to_vec();
        bytes.extend_from_slice(&digest(name, content)[..DIGEST]);
        bytes.extend_from_slice(content);
        bytes
    }

    pub(super) fn read(&self, path: &Path, name: &[u8; 32]) -> io::Result<Sealed> {
        let file = match platform::options().read(true).open(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Sealed::Nothing),
            opened => opened?,
        };
        let longest = HEAD + self.most;
        let mut bytes = Vec::new();
        file.take(longest as u64 + 1).read_to_end(&mut bytes)?;
        let sound = bytes.len() >= HEAD
            && bytes.len() <= longest
            && bytes.starts_with(self.mark)
            && bytes[MARK..HEAD] == digest(name, &bytes[HEAD..])[..DIGEST];
        if !sound {
            return Ok(Sealed::Torn);
        }
        Ok(Sealed::Whole(bytes.split_off(HEAD)))
    }
}

/// Removes a file; nothing if there is none.
pub(super) fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn digest(name: &[u8; 32], content: &[u8]) -> [u8; 32] {
    let digest = Sha256::new().chain_update(name).chain_update(content);
    digest.finalize().into()
}

const MARK: usize = 8;
const DIGEST: usize = 24;
const HEAD: usize = MARK + DIGEST;
