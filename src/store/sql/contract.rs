//! The contract by statements, the same for each database.

/// The key of a row that is no more, and whether it was a session, or only a tombstone.
pub(super) type RemovedRow = (Vec<u8>, bool);

/// Makes a `SessionStore` of a store that runs statements by its methods `rows` and `number`. A macro and not a generic
/// implementation: what a query is bound to differs in type, and the bounds that say so would be longer than this.
///
/// `$delete_expired` is the one statement that the databases say in different ways.
macro_rules! sql_store {
    ($store:ident, $delete_expired:expr) => {
        #[async_trait]
        impl SessionStore for $store {
            fn capabilities(&self) -> Capabilities {
                Capabilities {
                    shared: true,
                    ..Capabilities::default()
                }
            }

            fn history(&self) -> Option<&dyn HistoryStore> {
                Some(self)
            }

            fn index(&self) -> Option<&dyn SessionIndex> {
                Some(self)
            }

            async fn create(
                &self,
                candidate: &SessionId,
                new: NewSession,
            ) -> Result<Stored, StoreError> {
                let stored = Stored::created(candidate.clone(), new);
                let query = sqlx::query_as(statements::CREATE)
                    .bind(&stored.key.as_bytes()[..])
                    .bind(row::from_revision(stored.revision))
                    .bind(row::from_time(stored.last_activity))
                    .bind(row::from_time(stored.idle_deadline))
                    .bind(row::from_time(stored.record.absolute_end()))
                    .bind(row::from_record(&stored.record)?)
                    .bind(row::from_owner(stored.record.owner()))
                    .bind(row::from_time(stored.record.created()));
                if self.number(Access::Write, query).await?.is_some() {
                    return Ok(stored);
                }
                let query = sqlx::query_as(statements::IS_BARRED)
                    .bind(row::from_owner(stored.record.owner()))
                    .bind(row::from_time(stored.record.created()));
                match self.number(Access::Read, query).await? {
                    Some(_) => Err(StoreErrorKind::Gone.into()),
                    None => Err(StoreErrorKind::AlreadyExists.into()),
                }
            }

            async fn load(
                &self,
                audience: &str,
                id: &SessionId,
                now: Timestamp,
            ) -> Result<Option<Stored>, StoreError> {
                let key = SessionKey::new(audience, id);
                let query = sqlx::query_as(statements::LOAD)
                    .bind(&key.as_bytes()[..])
                    .bind(row::from_time(now));
                let found: Option<SessionRow> = self.rows(Access::Read, query).await?.pop();
                found
                    .map(|found| row::to_stored(id, key, found))
                    .transpose()
            }

            async fn save(
                &self,
                key: &SessionKey,
                record: Arc<SessionRecord>,
                expected: Revision,
            ) -> Result<Revision, StoreError> {
                let next = expected.next();
                let query = sqlx::query_as(statements::SAVE)
                    .bind(&key.as_bytes()[..])
                    .bind(row::from_record(&record)?)
                    .bind(row::from_revision(next))
                    .bind(row::from_time(record.absolute_end()))
                    .bind(row::from_revision(expected))
                    .bind(row::from_owner(record.owner()))
                    .bind(row::from_time(record.created()));
                if self.number(Access::Write, query).await?.is_some() {
                    return Ok(next);
                }
                let query = sqlx::query_as(statements::IS_KEPT).bind(&key.as_bytes()[..]);
                match self.number(Access::Read, query).await? {
                    Some(_) => Err(StoreErrorKind::Conflict.into()),
                    None => Err(StoreErrorKind::Gone.into()),
                }
            }

            async fn touch(
                &self,
                key: &SessionKey,
                now: Timestamp,
                idle_deadline: Option<Timestamp>,
            ) -> Result<Option<Revision>, StoreError> {
                let (access, statement) = match idle_deadline {
                    Some(_) => (Access::Write, statements::TOUCH),
                    None => (Access::Read, statements::ASK),
                };
                let mut query = sqlx::query_as(statement)
                    .bind(&key.as_bytes()[..])
                    .bind(row::from_time(now));
                if let Some(deadline) = idle_deadline {
                    query = query.bind(row::from_time(deadline));
                }
                let revision = self.number(access, query).await?;
                revision.map(row::to_revision).transpose()
            }

            async fn delete(&self, key: &SessionKey, now: Timestamp) -> Result<bool, StoreError> {
                let query = sqlx::query_as(statements::DELETE).bind(&key.as_bytes()[..]);
                let idle_deadline = self.number(Access::Write, query).await?;
                Ok(idle_deadline.is_some_and(|deadline| deadline > row::from_time(now)))
            }

            async fn delete_expired(
                &self,
                now: Timestamp,
                limit: usize,
            ) -> Result<Vec<SessionKey>, StoreError> {
                let due = row::from_time(now.saturating_sub(EXPIRED_GRACE));
                let query = sqlx::query_as(statements::FORGET_BARS).bind(due);
                self.number(Access::Write, query).await?;
                let query = sqlx::query_as(statements::FORGET_HISTORIES);
                self.number(Access::Write, query).await?;
                self.tell(limit).await?;
                let mut keys = Vec::new();
                loop {
                    let wanted = i64::try_from(limit - keys.len()).unwrap_or(i64::MAX);
                    let query = sqlx::query_as($delete_expired).bind(due).bind(wanted);
                    let removed: Vec<RemovedRow> = self.rows(Access::Write, query).await?;
                    let count = removed.len();
                    // Tombstones go without a word: their sessions ended long ago.
                    for (key, _) in removed.into_iter().filter(|(_, was_session)| *was_session) {
                        keys.push(row::to_key(key)?);
                    }
                    if keys.len() >= limit || (count as i64) < wanted {
                        return Ok(keys);
                    }
                }
            }
        }
    };
}

pub(super) use sql_store;
