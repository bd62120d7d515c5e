//! Cuts a source into tokens, enough to find paths and string literals in it and to leave its tests out.

use std::ops::Range;

/// A word, a sign or a string literal; comments, spaces and characters are left out.
pub(crate) struct Token<'s> {
    pub(crate) kind: Kind,
    pub(crate) text: &'s str,
    pub(crate) line: usize,
}

#[derive(Clone, Copy, Eq, PartialEq)]
pub(crate) enum Kind {
    Code,
    Literal,
    Nothing,
}

/// The tokens of `source` without its test items.
pub(crate) fn without_tests(source: &str) -> Vec<Token<'_>> {
    let mut tokens = tokens(source);
    for item in test_items(&tokens).into_iter().rev() {
        tokens.drain(item);
    }
    tokens
}

/// How many lines of `source` its test items take.
pub(crate) fn test_lines(source: &str) -> usize {
    let tokens = tokens(source);
    test_items(&tokens)
        .into_iter()
        .map(|item| tokens[item.end - 1].line - tokens[item.start].line + 1)
        .sum()
}

/// The items marked `#[cfg(test)]` or `#[cfg(all(test, ..))]`, with that mark.
fn test_items(tokens: &[Token<'_>]) -> Vec<Range<usize>> {
    let marks: [&[&str]; 2] = [
        &["#", "[", "cfg", "(", "test"],
        &["#", "[", "cfg", "(", "all", "(", "test"],
    ];
    let mut items = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        let rest = &tokens[at..];
        if marks.iter().any(|mark| {
            rest.len() > mark.len() && rest.iter().zip(*mark).all(|(a, b)| a.text == *b)
        }) {
            let length = item_length(rest);
            items.push(at..at + length);
            at += length;
        } else {
            at += 1;
        }
    }
    items
}

/// How many tokens reach to the `;` or the closing brace of the item in front.
fn item_length(tokens: &[Token<'_>]) -> usize {
    let mut depth = 0;
    for (at, token) in tokens.iter().enumerate() {
        match token.text {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => depth -= 1,
            _ => {}
        }
        if depth < 0 {
            return at;
        }
        if depth == 0 && matches!(token.text, ";" | "}") {
            return at + 1;
        }
    }
    tokens.len()
}

fn tokens(source: &str) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    let mut rest = source;
    let mut line = 1;
    while !rest.is_empty() {
        let (kind, length) = first_piece(rest);
        let (text, after) = rest.split_at(length);
        if kind != Kind::Nothing {
            tokens.push(Token { kind, text, line });
        }
        line += text.matches('\n').count();
        rest = after;
    }
    tokens
}

fn first_piece(rest: &str) -> (Kind, usize) {
    let word = rest
        .find(|c: char| !c.is_alphanumeric() && c != '_')
        .unwrap_or(rest.len());
    if rest.starts_with("//") {
        (Kind::Nothing, rest.find('\n').unwrap_or(rest.len()))
    } else if rest.starts_with("/*") {
        (Kind::Nothing, block_comment(rest))
    } else if let Some(length) = string(rest) {
        (Kind::Literal, length)
    } else if let Some(length) = character(rest) {
        (Kind::Nothing, length)
    } else if word > 0 {
        (Kind::Code, word)
    } else if rest.starts_with("::") {
        (Kind::Code, 2)
    } else {
        let sign = rest.chars().next().unwrap_or(' ');
        (
            if sign.is_whitespace() {
                Kind::Nothing
            } else {
                Kind::Code
            },
            sign.len_utf8(),
        )
    }
}

fn block_comment(rest: &str) -> usize {
    let mut depth = 0;
    let mut at = 0;
    while at < rest.len() {
        match rest.as_bytes()[at..] {
            [b'/', b'*', ..] => (depth, at) = (depth + 1, at + 2),
            [b'*', b'/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            break;
        }
    }
    at
}

fn string(rest: &str) -> Option<usize> {
    let prefix = &rest[..rest.len() - rest.trim_start_matches(['b', 'c', 'r']).len()];
    let after = &rest[prefix.len()..];
    if prefix.ends_with('r') {
        let hashes = "#".repeat(after.len() - after.trim_start_matches('#').len());
        let body = after[hashes.len()..].strip_prefix('"')?;
        let close = format!("\"{hashes}");
        return Some(rest.len() - body.len() + body.find(&close)? + close.len());
    }
    let body = after.strip_prefix('"')?;
    let mut escaped = false;
    let end = body.find(|c| {
        let ends = c == '"' && !escaped;
        escaped = c == '\\' && !escaped;
        ends
    })?;
    Some(rest.len() - body.len() + end + 1)
}

/// The length of a character literal in front; a lifetime is none.
fn character(rest: &str) -> Option<usize> {
    let body = rest.strip_prefix('\'')?;
    let first = body.chars().next()?;
    if first == '\\' {
        return Some(1 + 2 + body.get(2..)?.find('\'')? + 1);
    }
    body[first.len_utf8()..]
        .starts_with('\'')
        .then_some(first.len_utf8() + 2)
}
