//! The examples, as the programs that they are.

use std::env;
use std::path::PathBuf;

/// `target/PROFILE/examples/NAME`, beside `target/PROFILE/deps/TEST-HASH`.
pub(crate) fn program(name: &str) -> PathBuf {
    let test = env::current_exe().expect("a test knows its own path");
    let profile = test
        .ancestors()
        .nth(2)
        .expect("a test lies two folders below its profile");
    let program = profile
        .join("examples")
        .join(format!("{name}{}", env::consts::EXE_SUFFIX));
    assert!(
        program.is_file(),
        "{} is missing: `cargo test` builds it, `cargo test --test TEST` alone does not; \
         run `cargo build --example {name}`",
        program.display()
    );
    program
}
