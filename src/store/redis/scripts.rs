//! The scripts: one for each step that nobody may see half done.
//!
//! A script is called by its digest, in one round trip. To a server that does not know it (it was restarted, or its
//! scripts were flushed) the text is sent, once.

use std::sync::LazyLock;

use ::redis::{Cmd, Script};

use super::form::Keys;

macro_rules! script {
    ($name:literal) => {
        StoreScript {
            text: script!(@text $name),
            compiled: LazyLock::new(|| Script::new(script!(@text $name))),
        }
    };
    (@text $name:literal) => {
        concat!(
            include_str!("scripts/shared.lua"),
            include_str!(concat!("scripts/", $name, ".lua")),
        )
    };
}

pub(super) static CREATE: StoreScript = script!("create");
pub(super) static SAVE: StoreScript = script!("save");
pub(super) static TOUCH: StoreScript = script!("touch");
pub(super) static DELETE: StoreScript = script!("delete");
pub(super) static REMOVE: StoreScript = script!("remove");

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
    /// The call for the session of `keys`, which lie in one slot.
    pub(super) fn call<const N: usize>(
        &'static self,
        keys: Keys,
        arguments: [Vec<u8>; N],
    ) -> ScriptCall {
        let count = b"2".to_vec();
        let keys = [count, keys.record.into_bytes(), keys.last_use.into_bytes()];
        ScriptCall {
            script: self,
            arguments: keys.into_iter().chain(arguments).collect(),
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
