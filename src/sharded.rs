//! A hash table in many parts, each behind a lock of its own.
//!
//! It differs from `dashmap` where this crate needs it to. Elements hold their own key, so that a slot is one pointer:
//! 33 bytes less for each session. A clean-up locks one part at a time and says how far it came. A random part can be
//! looked at, which eviction needs to sample fairly. 1 024 parts keep a clean-up of a million sessions from stalling a
//! reader for longer than a part takes: some microseconds.

use std::fmt;
use std::hash::{BuildHasher, Hash};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use foldhash::fast::RandomState;
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

/// An element that knows its key, which never changes while it is in a table.
pub(crate) trait Keyed {
    type Key: Hash + Eq;

    fn key(&self) -> &Self::Key;
}

/// A set of elements found by their key.
pub(crate) struct Sharded<T> {
    shards: Box<[Shard<T>]>,
    // Keyed per process: nobody outside can choose keys that collide.
    hasher: RandomState,
}

/// As large as a cache line, so that readers of neighbours do not disturb each other.
#[repr(align(64))]
struct Shard<T>(RwLock<HashTable<T>>);

impl<T: Keyed> Sharded<T> {
    pub(crate) const SHARDS: usize = 1024;

    pub(crate) fn new() -> Self {
        let shards = (0..Self::SHARDS)
            .map(|_| Shard(RwLock::new(HashTable::new())))
            .collect();
        Self {
            shards,
            hasher: RandomState::default(),
        }
    }

    /// A copy of the element with `key`.
    pub(crate) fn get(&self, key: &T::Key) -> Option<T>
    where
        T: Clone,
    {
        let hash = self.hasher.hash_one(key);
        self.read(shard_of(hash))
            .find(hash, |element| element.key() == key)
            .cloned()
    }

    /// A copy of the element with `key` if `condition`, asked under the lock, holds for it.
    ///
    /// What `condition` reads comes from memory at the same time. After the copy it would come one by one: to count a
    /// reference is a barrier.
    pub(crate) fn get_if(&self, key: &T::Key, condition: impl FnOnce(&T) -> bool) -> Option<T>
    where
        T: Clone,
    {
        let hash = self.hasher.hash_one(key);
        self.read(shard_of(hash))
            .find(hash, |element| element.key() == key)
            .filter(|element| condition(element))
            .cloned()
    }

    /// Gives `f` the element with `key`, alone.
    pub(crate) fn with_mut<R>(&self, key: &T::Key, f: impl FnOnce(Option<&mut T>) -> R) -> R {
        let hash = self.hasher.hash_one(key);
        f(self
            .write(shard_of(hash))
            .find_mut(hash, |element| element.key() == key))
    }

    /// Puts `element` in unless there is one with its key, or `allow`, asked under the lock, says no.
    ///
    /// # Errors
    ///
    /// `element`, if it was not put in.
    pub(crate) fn insert_if(&self, element: T, allow: impl FnOnce() -> bool) -> Result<(), T> {
        let hash = self.hasher.hash_one(element.key());
        let mut shard = self.write(shard_of(hash));
        let same = |other: &T| other.key() == element.key();
        match shard.entry(hash, same, |other| self.hasher.hash_one(other.key())) {
            Entry::Vacant(slot) if allow() => {
                slot.insert(element);
                Ok(())
            }
            _ => Err(element),
        }
    }

    /// Takes out the element with `key` if `condition`, asked under the lock, holds for it.
    pub(crate) fn remove_if(&self, key: &T::Key, condition: impl FnOnce(&T) -> bool) -> Option<T> {
        let hash = self.hasher.hash_one(key);
        let mut shard = self.write(shard_of(hash));
        let found = shard
            .find_entry(hash, |element| element.key() == key)
            .ok()?;
        condition(found.get()).then(|| found.remove().0)
    }

    /// Keeps what `keep` says in part `index`; gives the memory back when much has gone.
    pub(crate) fn retain(&self, index: usize, keep: impl FnMut(&mut T) -> bool) {
        let mut shard = self.write(index);
        shard.retain(keep);
        if shard.len() < shard.capacity() / 4 {
            let room = shard.len() * 2;
            shard.shrink_to(room, |element| self.hasher.hash_one(element.key()));
        }
    }

    /// Shows each element of part `index` to `f`.
    pub(crate) fn for_each(&self, index: usize, f: impl FnMut(&T)) {
        self.read(index).iter().for_each(f);
    }

    /// How many elements there are; each part is counted at a different moment.
    pub(crate) fn len(&self) -> usize {
        (0..Self::SHARDS).map(|index| self.read(index).len()).sum()
    }

    fn read(&self, index: usize) -> RwLockReadGuard<'_, HashTable<T>> {
        self.shards[index]
            .0
            .read()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self, index: usize) -> RwLockWriteGuard<'_, HashTable<T>> {
        self.shards[index]
            .0
            .write()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> fmt::Debug for Sharded<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sharded").finish_non_exhaustive()
    }
}

/// The part for a hash: bits that the table inside does not use (it takes the lowest and the seven highest).
fn shard_of(hash: u64) -> usize {
    (hash >> 40) as usize % 1024
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Debug, PartialEq)]
    struct Number(u64, &'static str);

    impl Keyed for Number {
        type Key = u64;

        fn key(&self) -> &u64 {
            &self.0
        }
    }

    #[test]
    fn an_element_is_never_overwritten() {
        let table = Sharded::new();
        assert!(table.insert_if(Number(1, "first"), || true).is_ok());
        assert_eq!(
            table.insert_if(Number(1, "second"), || true),
            Err(Number(1, "second"))
        );
        assert_eq!(
            table.insert_if(Number(2, "forbidden"), || false),
            Err(Number(2, "forbidden"))
        );
        assert_eq!(table.get(&1), Some(Number(1, "first")));
        assert_eq!(table.len(), 1);
    }

    #[test]
    fn removal_asks_under_the_lock() {
        let table = Sharded::new();
        table.insert_if(Number(7, "seven"), || true).unwrap();
        assert_eq!(table.remove_if(&7, |_| false), None);
        assert_eq!(table.remove_if(&7, |_| true), Some(Number(7, "seven")));
        assert_eq!(table.remove_if(&7, |_| true), None);
    }

    #[test]
    fn all_parts_together_hold_all_elements_and_shrink() {
        let table = Sharded::new();
        (0..10_000).for_each(|n| table.insert_if(Number(n, ""), || true).unwrap());
        let mut seen = 0;
        (0..Sharded::<Number>::SHARDS).for_each(|index| table.for_each(index, |_| seen += 1));
        assert_eq!(seen, 10_000);
        (0..Sharded::<Number>::SHARDS).for_each(|index| table.retain(index, |n| n.0 % 100 == 0));
        assert_eq!(table.len(), 100);
        assert!((0..10_000).all(|n| table.get(&n).is_some() == (n % 100 == 0)));
    }
}
