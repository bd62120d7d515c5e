//! What an id is made of, and what is asked of one that comes in.

use std::sync::Arc;

use tracing::warn;

use super::claims::{Claims, Epoch, Standing};
use super::initialize::{shorten, slim};
use super::ready::ReadyRing;
use super::store::SignedStore;
use super::terms::Terms;
use super::token::{self, Token};
use crate::session::{NewSession, RandomSourceError, SessionId, SessionRecord, Timestamp};
use crate::store::{StoreError, StoreErrorKind};

impl SignedStore {
    /// What `id` says of itself, if it was signed with a key of `ring` and holds at `now`. Whatever it lacks, it is
    /// none.
    pub(super) fn verified(
        &self,
        ring: &ReadyRing,
        audience: &str,
        token: &Token<'_>,
        now: Timestamp,
    ) -> Option<Terms> {
        let terms = ring
            .verifies(token)
            .then(|| Terms::read(token, audience))??;
        let holds = terms.issued <= now.saturating_add(self.clock_leeway)
            && now < terms.expires
            && terms.expires.since(terms.issued) <= self.max_lifetime
            && !ring.refuses(terms.issued)
            && self.takes(&terms, now);
        holds.then_some(terms)
    }

    /// Whether ids of this standing are taken here at `now`.
    fn takes(&self, terms: &Terms, now: Timestamp) -> bool {
        match (terms.standing, &self.backing) {
            (Standing::Backed, backing) => backing.is_some(),
            (Standing::Itself, Some(_)) if now >= self.migration => false,
            (Standing::Itself, _) => terms.epoch == self.epoch(),
        }
    }

    fn epoch(&self) -> Option<Epoch> {
        self.revocations.as_ref().and_then(|list| list.epoch)
    }

    /// An id for `new`, and the record that it stands for.
    pub(super) fn mint(
        &self,
        ring: &ReadyRing,
        new: &NewSession,
    ) -> Result<(SessionId, Arc<SessionRecord>), StoreError> {
        let mut jti = [0; 16];
        getrandom::fill(&mut jti).map_err(|error| {
            StoreError::new(StoreErrorKind::Unavailable, RandomSourceError(error))
        })?;
        let (audience, signer) = (&*new.audience, ring.signer(new.record.owner()));
        let sign = |record: Arc<SessionRecord>| {
            let id = if self.backing.is_some() {
                token::sign(signer, &Claims::backed(jti, audience, &record))
            } else {
                let short = shorten(record.handshake());
                let claims = Claims::itself(jti, audience, &record, short.as_deref(), self.epoch());
                token::sign(signer, &claims)
            };
            id.map(|id| (id, record))
        };
        sign(Arc::clone(&new.record))
            .or_else(|| sign(Arc::new(slim(&new.record)?)))
            .ok_or_else(too_long)
    }
}

fn too_long() -> StoreError {
    warn!(limit = SessionId::MAX_LEN, "{TOO_LONG}");
    StoreError::new(StoreErrorKind::TooLarge, TOO_LONG)
}

const TOO_LONG: &str =
    "an initialize is too large for a signed id: `SignedStore::with_backing` keeps it elsewhere";
