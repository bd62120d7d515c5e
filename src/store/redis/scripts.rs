//! The scripts: one for each step that nobody may see half done.
//!
//! A script is called by its digest, in one round trip. To a server that does not know it (it was restarted, or its
//! scripts were flushed) the text is sent, once.

use std::sync::LazyLock;

use ::redis::{Cmd, Script};

use super::form::Keys;

macro_rules! script {
    ($name:literal, $($part:literal),+) => {
        StoreScript {
            text: script!(@text $name, $($part),+),
            compiled: LazyLock::new(|| Script::new(script!(@text $name, $($part),+))),
        }
    };
    (@text $name:literal, $($part:literal),+) => {
        concat!(
            $(include_str!(concat!("scripts/", $part, ".lua")),)+
            include_str!(concat!("scripts/", $name, ".lua")),
        )
    };
}

// Each begins with what it needs of the parts that several have, and no more: the server reads all of it in each call.
pub(super) static CREATE: StoreScript = script!("create", "reading", "writing", "indexing");
pub(super) static LOAD: StoreScript = script!("load", "reading");
pub(super) static SAVE: StoreScript = script!("save", "reading", "writing", "indexing");
pub(super) static TOUCH: StoreScript = script!("touch", "reading", "writing");
pub(super) static DELETE: StoreScript = script!("delete", "reading", "writing", "indexing");
pub(super) static REMOVE: StoreScript = script!("remove", "reading", "writing", "indexing");

pub(super) static APPEND: StoreScript = script!("append", "reading", "writing");
pub(super) static READ: StoreScript = script!("read", "reading");
pub(super) static CLEAR: StoreScript = script!("clear", "reading");

pub(super) static WALK: StoreScript = script!("walk", "reading");
pub(super) static MISSING: StoreScript = script!("missing", "reading");
pub(super) static SETTLE: StoreScript = script!("settle", "reading", "writing", "indexing");
pub(super) static FORGET: StoreScript = script!("forget", "reading", "writing", "indexing");
pub(super) static MARK: StoreScript = script!("mark", "reading", "writing");

pub(super) struct StoreScript {
    text: &'static str,
    compiled: LazyLock<Script>,
}

/// One call of a script, in both of its forms.
pub(super) struct ScriptCall {
    script: &'static StoreScript,
    arguments: Vec<Vec<u8>>,
}

impl StoreScript {
    /// The call for the session of `keys`.
    pub(super) fn call(
        &'static self,
        keys: Keys,
        arguments: impl IntoIterator<Item = Vec<u8>>,
    ) -> ScriptCall {
        let Keys {
            record,
            last_use,
            history,
            index,
        } = keys;
        let keys = [record, last_use, history].map(String::into_bytes);
        self.call_with(keys, &index, arguments)
    }

    /// The call for all sessions of this `index`.
    pub(super) fn call_of_all(
        &'static self,
        index: &str,
        arguments: impl IntoIterator<Item = Vec<u8>>,
    ) -> ScriptCall {
        self.call_with([], index, arguments)
    }

    fn call_with<const N: usize>(
        &'static self,
        keys: [Vec<u8>; N],
        index: &str,
        arguments: impl IntoIterator<Item = Vec<u8>>,
    ) -> ScriptCall {
        let mut all = Vec::with_capacity(N + 8);
        all.push((N + 1).to_string().into_bytes());
        all.extend(keys);
        all.push(index.as_bytes().to_vec());
        all.extend(arguments);
        ScriptCall {
            script: self,
            arguments: all,
        }
    }
}

impl ScriptCall {
    pub(super) fn by_digest(&self) -> Cmd {
        self.command("EVALSHA", self.script.compiled.get_hash())
    }

    pub(super) fn by_text(&self) -> Cmd {
        self.command("EVAL", self.script.text)
    }

    fn command(&self, name: &str, script: &str) -> Cmd {
        let size = self.arguments.iter().map(Vec::len).sum::<usize>();
        let mut command =
            Cmd::with_capacity(self.arguments.len() + 2, size + script.len() + name.len());
        command.arg(name).arg(script).arg(&self.arguments);
        command
    }
}
