//! Reads the sources and holds them to the layout: a module uses only modules above it in `lib.rs`.

#[path = "strata/tokens.rs"]
mod tokens;

use std::{
    fs,
    path::{Path, PathBuf},
};

use tokens::{Kind, Token, test_lines, without_tests};

/// The top-level modules; each may use those before it.
const STRATA: [&str; 11] = [
    "protocol",
    "session",
    "clock",
    "config",
    "sharded",
    "store",
    "events",
    "testing",
    "manager",
    "middleware",
    "axum",
];

/// Most lines of a source file, tests left out.
const LINES: usize = 300;

#[test]
fn lib_declares_the_strata_in_their_order() {
    assert_eq!(wrong_order(&read("src/lib.rs")), Vec::<String>::new());
}

#[test]
fn no_module_uses_a_later_stratum() {
    assert_none(upward_uses);
}

#[test]
fn no_source_file_is_over_its_budget() {
    assert_none(over_budget);
}

#[test]
fn only_protocol_header_spells_the_header_name() {
    assert_none(header_names);
}

#[test]
fn only_clock_reads_the_system_time() {
    assert_none(system_times);
}

#[test]
fn readme_shows_the_two_commands() {
    if root().join("README.md").exists() {
        let readme = read("README.md");
        assert!(readme.contains("cargo run --example server"));
        assert!(readme.contains("scripts/test"));
    }
}

#[test]
fn modules_out_of_order_or_unknown_are_found() {
    assert_eq!(wrong_order("mod clock;\n/// S.\npub mod store;"), [""; 0]);
    assert_eq!(
        wrong_order("pub mod store;\npub(crate) mod clock;"),
        ["lib.rs:2: `clock` comes after a later stratum"]
    );
    assert_eq!(
        wrong_order("mod helpers;"),
        ["lib.rs:1: `helpers` is no stratum"]
    );
}

#[test]
fn upward_uses_are_found_in_every_spelling() {
    for (line, source) in [
        (1, "use crate::middleware::reply;"),
        (
            3,
            "use crate::{\n    session::{SessionId, SessionKey},\n    manager::Manager,\n};",
        ),
        (2, "fn f() {\n    crate::axum::extract()\n}"),
        (1, "use super::super::manager;"),
        (2, "mod inner {\n    use super::super::super::manager;\n}"),
        (1, "/* a */ use crate::events /* b */ as e; // crate::axum"),
        (
            2,
            "const A: (char, char, &str) = ('\"', '\\'', r#\"\n\"#); use crate::events;",
        ),
        (
            3,
            "#[cfg(test)]\nmod tests { fn a() { b([1]); } }\nuse crate::testing::ManualClock;",
        ),
    ] {
        let found = upward_uses("store/memory.rs", source);
        assert_eq!(found.len(), 1, "{source}: {found:?}");
        assert!(
            found[0].starts_with(&format!("store/memory.rs:{line}: `store` uses ")),
            "{found:?}"
        );
    }
}

#[test]
fn names_at_the_crate_root_are_no_way_around() {
    assert_eq!(
        upward_uses("store/mod.rs", "use crate::SessionLayer;").len(),
        1
    );
    assert_eq!(
        upward_uses("store/mod.rs", "use crate::{clock::Clock, SessionLayer};").len(),
        1
    );
    assert_eq!(upward_uses("store/mod.rs", "use super::*;").len(), 1);
    assert_eq!(upward_uses("helpers.rs", "").len(), 1);
}

#[test]
fn downward_uses_comments_literals_and_tests_are_fine() {
    for source in [
        "use crate::{clock::Clock, session, store::SessionStore};",
        "use super::SessionStore;",
        "mod inner { use super::super::SessionStore; }",
        "/// See [`crate::middleware`].\nfn f<'a>(_: &'a str) {}",
        "/* /* crate::axum */ crate::axum */ const A: &str = \"\\\"crate::axum\";",
        "#[cfg(test)]\nmod tests {\n    use crate::testing::ManualClock;\n}",
        "#[cfg(all(test, feature = \"testing\"))]\nuse crate::testing::ManualClock;",
        "pub(crate) struct A; pub(in crate::store) struct B;",
    ] {
        assert_eq!(upward_uses("store/memory.rs", source), [""; 0], "{source}");
    }
    assert_eq!(upward_uses("lib.rs", "pub use crate::axum::A;"), [""; 0]);
    assert_eq!(
        upward_uses("store/tests.rs", "use crate::axum::A;"),
        [""; 0]
    );
}

#[test]
fn lines_over_the_budget_are_counted_without_tests() {
    let code = "const A: u8 = 1;\n".repeat(LINES);
    let tests = "#[cfg(test)]\nmod tests {\n    const B: u8 = 2;\n}\n";
    assert_eq!(over_budget("clock.rs", &format!("{code}{tests}")), [""; 0]);
    assert_eq!(
        over_budget("clock.rs", &format!("{code}// one more\n{tests}")).len(),
        1
    );
    assert_eq!(
        over_budget("clock.rs", &format!("{tests}{code}// one more\n")).len(),
        1
    );
    assert_eq!(over_budget("store/tests.rs", &code.repeat(2)), [""; 0]);
}

#[test]
fn header_names_and_system_times_elsewhere_are_found() {
    let header = "// \"mcp-session-id\"\nconst A: &str = \"MCP-Session-Id\";";
    assert_eq!(header_names("store/memory.rs", header).len(), 1);
    assert_eq!(header_names("protocol/header.rs", header), [""; 0]);
    assert_eq!(
        header_names("store/memory.rs", &format!("#[cfg(test)]\n{header}")),
        [""; 0]
    );
    assert_eq!(
        header_names(
            "reply.rs",
            "const A: &str = \"the Mcp-Session-Id is missing\";"
        ),
        [""; 0]
    );

    let time = "fn f() { std::time::SystemTime::now(); }";
    assert_eq!(system_times("store/memory.rs", time).len(), 1);
    assert_eq!(system_times("clock.rs", time), [""; 0]);
}

/// Applies `check` to each source file: its path below `src`, its text.
fn assert_none(check: fn(&str, &str) -> Vec<String>) {
    let files = sources(&root().join("src"));
    assert!(!files.is_empty());
    let found: Vec<_> = files
        .iter()
        .flat_map(|file| check(file, &read(&format!("src/{file}"))))
        .collect();
    assert!(found.is_empty(), "\n{}\n", found.join("\n"));
}

fn wrong_order(lib: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut highest = 0;
    let tokens = without_tests(lib);
    for three in tokens
        .windows(3)
        .filter(|three| three[0].text == "mod" && three[2].text == ";")
    {
        let (line, name) = (three[1].line, three[1].text);
        match stratum(name) {
            None => found.push(format!("lib.rs:{line}: `{name}` is no stratum")),
            Some(at) if at < highest => {
                found.push(format!(
                    "lib.rs:{line}: `{name}` comes after a later stratum"
                ));
            }
            Some(at) => highest = at,
        }
    }
    found
}

fn upward_uses(file: &str, source: &str) -> Vec<String> {
    if file == "lib.rs" || is_test(file) {
        return Vec::new();
    }
    let modules: Vec<_> = file
        .trim_end_matches(".rs")
        .split('/')
        .filter(|&name| name != "mod")
        .collect();
    let Some(own) = stratum(modules[0]) else {
        return vec![format!("{file}: `{}` is no stratum", modules[0])];
    };
    let mut found = Vec::new();
    for Token { line, text, .. } in names_at_root(&without_tests(source), modules.len()) {
        match stratum(text) {
            None => found.push(format!(
                "{file}:{line}: `{text}` of the crate root: name its module"
            )),
            Some(at) if at > own => {
                found.push(format!(
                    "{file}:{line}: `{}` uses `{text}`, a later stratum",
                    modules[0]
                ));
            }
            Some(_) => {}
        }
    }
    found
}

fn over_budget(file: &str, source: &str) -> Vec<String> {
    let lines = source.lines().count() - test_lines(source);
    let over = lines > LINES && !is_test(file);
    over.then(|| format!("{file}: {lines} lines without tests; which noun is missing?"))
        .into_iter()
        .collect()
}

fn header_names(file: &str, source: &str) -> Vec<String> {
    without_tests(source)
        .iter()
        .filter(|_| file != "protocol/header.rs" && !is_test(file))
        .filter(|token| token.kind == Kind::Literal)
        .filter(|token| {
            token
                .text
                .trim_matches(['b', 'r', '#', '"'])
                .eq_ignore_ascii_case("mcp-session-id")
        })
        .map(|token| {
            format!(
                "{file}:{}: the header's name belongs to protocol/header.rs",
                token.line
            )
        })
        .collect()
}

fn system_times(file: &str, source: &str) -> Vec<String> {
    without_tests(source)
        .windows(3)
        .filter(|_| file != "clock.rs" && !is_test(file))
        .filter(|three| {
            three[0].text == "SystemTime" && three[1].text == "::" && three[2].text == "now"
        })
        .map(|three| format!("{file}:{}: the time comes from `Clock`", three[0].line))
        .collect()
}

/// The first names of all paths that begin at the crate root, in a file `depth` modules below it.
fn names_at_root<'t, 's>(tokens: &'t [Token<'s>], depth: usize) -> Vec<&'t Token<'s>> {
    let text = |at: usize| tokens.get(at).map_or("", |token| token.text);
    let mut names = Vec::new();
    let mut braces = 0;
    let mut inline = Vec::new(); // the depth of braces at which each open `mod name {` began
    for at in 0..tokens.len() {
        match text(at) {
            "{" => {
                if at >= 2 && text(at - 2) == "mod" {
                    inline.push(braces);
                }
                braces += 1;
            }
            "}" => {
                braces -= 1;
                inline.pop_if(|began| *began == braces);
            }
            "crate" if text(at + 1) == "::" => names.extend(heads(&tokens[at + 2..])),
            "super" if at == 0 || text(at - 1) != "::" => {
                let up = (at..)
                    .step_by(2)
                    .take_while(|&up| text(up) == "super" && text(up + 1) == "::")
                    .count();
                if up == depth + inline.len() {
                    names.extend(heads(&tokens[at + 2 * up..]));
                }
            }
            _ => {}
        }
    }
    names
}

/// The first name of a path, or those of each path in a `{group}`.
fn heads<'t, 's>(path: &'t [Token<'s>]) -> Vec<&'t Token<'s>> {
    let mut names = Vec::new();
    let mut depth = 0;
    let mut expected = true;
    for token in path {
        match token.text {
            "{" => depth += 1,
            "}" => depth -= 1,
            "," if depth == 1 => expected = true,
            _ if expected => {
                names.push(token);
                expected = false;
            }
            _ => {}
        }
        if depth == 0 {
            break;
        }
    }
    names
}

fn stratum(name: &str) -> Option<usize> {
    STRATA.iter().position(|&stratum| stratum == name)
}

fn is_test(file: &str) -> bool {
    file.split('/')
        .any(|part| part == "tests.rs" || part == "tests")
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(file: &str) -> String {
    fs::read_to_string(root().join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

/// All Rust files in `folder` and below, as paths relative to it.
fn sources(folder: &Path) -> Vec<String> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).expect("the folder is there") {
        let path = entry.expect("the folder is readable").path();
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        if path.is_dir() {
            files.extend(sources(&path).iter().map(|below| format!("{name}/{below}")));
        } else if name.ends_with(".rs") {
            files.push(name);
        }
    }
    files
}
