//! What a store declares that it cannot do, and must refuse then.

use super::subject::{LIFE, MILLISECOND, Subject, answered, refused_as};
use crate::session::{NewSession, SessionId, SessionRecord};
use crate::store::StoreErrorKind;

/// Each says whether the store declares the inability, and holds it to it.
impl Subject {
    /// For a store that declares it: whether `save` is refused.
    pub(super) async fn cannot_save(&self) -> bool {
        if self.capabilities().save {
            return false;
        }
        let stored = self.begin().await;
        let saved = self
            .save(&stored.key, self.record("later"), stored.revision)
            .await;
        refused_as(
            StoreErrorKind::Unsupported,
            "save, which is declared impossible,",
            saved,
        );
        assert_eq!(
            self.present(&stored.id).await.record,
            stored.record,
            "a refused save changes nothing"
        );
        true
    }

    /// For a store that declares it: whether `delete` is refused, and clean-up removes nothing.
    pub(super) async fn cannot_delete(&self) -> bool {
        if self.capabilities().delete {
            return false;
        }
        let stored = self.begin().await;
        let deleted = answered("delete", self.store.delete(&stored.key, self.now)).await;
        refused_as(
            StoreErrorKind::Unsupported,
            "delete, which is declared impossible,",
            deleted,
        );
        self.present(&stored.id).await;
        let removed = self.delete_expired(self.after(LIFE * 2), 10).await;
        assert_eq!(removed, [], "a store that cannot delete cleans nothing up");
        true
    }

    /// For a store that declares it: whether clean-up has nothing to do.
    pub(super) async fn cannot_clean_up(&self) -> bool {
        if self.cannot_delete().await {
            return true;
        }
        if self.capabilities().records {
            return false;
        }
        let stored = self.begin().await;
        let removed = self.delete_expired(self.after(LIFE * 2), 10).await;
        assert_eq!(removed, [], "a store without records cleans none up");
        self.present(&stored.id).await;
        true
    }

    /// For a store that declares it: whether `create` refuses `record`, which says more than the id can.
    pub(super) async fn cannot_keep(&self, record: SessionRecord) -> bool {
        if self.capabilities().records {
            return false;
        }
        let id = SessionId::random().expect("the system has random bits");
        let created = self.create(&id, self.new_session(record)).await;
        let call = "`create` of more than an id can say, without records,";
        refused_as(StoreErrorKind::Unsupported, call, created);
        true
    }

    /// For a store that declares it: whether sessions last as long as they may, and `create` refuses a longer one.
    pub(super) async fn cannot_keep_longer(&self, endless: &NewSession) -> bool {
        if self.capabilities().max_lifetime.is_none() {
            return false;
        }
        let id = SessionId::random().expect("the system has random bits");
        let created = self.create(&id, endless.clone()).await;
        let call = "`create` of a session longer than declared";
        refused_as(StoreErrorKind::Unsupported, call, created);
        let end = self.latest_end();
        let mut new = self.new_session(self.record_until(end, "long"));
        new.idle_deadline = end;
        let long = self.begin_with(new).await;
        let last = end.saturating_sub(MILLISECOND);
        assert!(
            self.load(&long.id, last).await.is_some(),
            "a session lasts as long as it is declared that it may"
        );
        true
    }

    /// For a store that declares it: whether `touch` is refused, and sessions live to their absolute end.
    pub(super) async fn cannot_touch(&self) -> bool {
        if self.capabilities().idle_expiry {
            return false;
        }
        let stored = self.begin().await;
        let touched = answered("touch", self.store.touch(&stored.key, self.now, None)).await;
        refused_as(
            StoreErrorKind::Unsupported,
            "touch, which is declared impossible,",
            touched,
        );
        let last = self.after(LIFE).saturating_sub(MILLISECOND);
        assert!(
            self.load(&stored.id, last).await.is_some(),
            "without idle expiry a session lives to its absolute end"
        );
        true
    }
}
