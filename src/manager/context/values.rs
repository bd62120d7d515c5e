//! The values of a session, as handlers read and write them.

use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Kind, SessionContext};
use crate::manager::live::LiveSession;
use crate::manager::writing::{SessionError, check_size};
use crate::session::Values;
use crate::store::{NO_RECORDS, StoreError, StoreErrorKind};

/// Values: names and JSON that the session keeps.
///
/// Over a store without records, such as `SignedStore` alone, each of these fails as [`StoreErrorKind::Unsupported`].
impl SessionContext {
    /// The value called `name`; `None` if there is none.
    ///
    /// # Errors
    ///
    /// [`SessionError::Values`] if it is not a `T`; [`SessionError::Store`] if the store could not be asked, or the
    /// session has ended.
    pub async fn get<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, SessionError> {
        Ok(self.values().await?.get(name)?)
    }

    /// The value called `name`, or `default` if there is none.
    ///
    /// # Errors
    ///
    /// As for [`SessionContext::get`].
    pub async fn get_or<T: DeserializeOwned>(
        &self,
        name: &str,
        default: T,
    ) -> Result<T, SessionError> {
        Ok(self.get(name).await?.unwrap_or(default))
    }

    /// All values, as they are now.
    ///
    /// # Errors
    ///
    /// [`SessionError::Store`] if the store could not be asked, or the session has ended.
    pub async fn values(&self) -> Result<Values, SessionError> {
        self.has_values()?;
        if let Kind::Pending(pending) = &self.0
            && let Some(values) = pending.staged()
        {
            return Ok(values);
        }
        Ok(self.begun().await?.current_record().await?.values().clone())
    }

    /// Stores `value` under `name`, in place of what was there.
    ///
    /// # Errors
    ///
    /// [`SessionError::TooLarge`] over the limit, [`SessionError::Values`] if `value` cannot be written as JSON,
    /// [`SessionError::Store`] if the store did not do it.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, the value may or may not have been stored.
    pub async fn insert<T: Serialize + Sync + ?Sized>(
        &self,
        name: &str,
        value: &T,
    ) -> Result<(), SessionError> {
        self.change(|values| Ok(values.insert(name, value)?)).await
    }

    /// Removes the value called `name`; says whether there was one.
    ///
    /// # Errors
    ///
    /// [`SessionError::Store`] if the store did not do it.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, the value may or may not have been removed.
    pub async fn remove(&self, name: &str) -> Result<bool, SessionError> {
        self.change(|values| Ok(values.remove(name))).await
    }

    /// Stores all of `values` in one step: all are seen, or none.
    ///
    /// # Errors
    ///
    /// As for [`SessionContext::insert`].
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, all or none may have been stored.
    pub async fn extend(&self, values: &Values) -> Result<(), SessionError> {
        self.change(|own| {
            own.extend(values);
            Ok(())
        })
        .await
    }

    /// Removes all values.
    ///
    /// # Errors
    ///
    /// [`SessionError::Store`] if the store did not do it.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, the values may or may not have been removed.
    pub async fn clear(&self) -> Result<(), SessionError> {
        self.change(|values| {
            values.clear();
            Ok(())
        })
        .await
    }

    /// Changes the value called `name` by `change`, which gets the present one and gives the next; returns that.
    ///
    /// When somebody else changed the session meanwhile, here or on another instance, `change` is asked again with
    /// what is there then: no update is lost.
    ///
    /// # Errors
    ///
    /// As for [`SessionContext::insert`]; [`StoreErrorKind::Conflict`] if others were faster 64 times in a row.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, the change may or may not have been made.
    pub async fn update<T, F>(&self, name: &str, mut change: F) -> Result<T, SessionError>
    where
        T: Serialize + DeserializeOwned,
        F: FnMut(Option<T>) -> T,
    {
        self.change(|values| {
            let next = change(values.get(name)?);
            values.insert(name, &next)?;
            Ok(next)
        })
        .await
    }

    /// Changes the value called `name` as [`update`](Self::update) does, or leaves it as it is where `change` gives
    /// `None`; returns what `change` gave.
    ///
    /// Where several requests of a session compete, one is told that it has won: look and change are one step.
    ///
    /// # Errors
    ///
    /// As for [`SessionContext::update`].
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, the change may or may not have been made.
    ///
    /// # Examples
    ///
    /// ```
    /// use tower_mcp_session::{SessionContext, SessionError};
    ///
    /// /// Whether the session has an attempt left, of three.
    /// async fn take_attempt(session: &SessionContext) -> Result<bool, SessionError> {
    ///     let taken = session.try_update("attempts", |attempts: Option<u32>| {
    ///         let attempts = attempts.unwrap_or(0);
    ///         (attempts < 3).then_some(attempts + 1)
    ///     });
    ///     Ok(taken.await?.is_some())
    /// }
    /// ```
    pub async fn try_update<T, F>(
        &self,
        name: &str,
        mut change: F,
    ) -> Result<Option<T>, SessionError>
    where
        T: Serialize + DeserializeOwned,
        F: FnMut(Option<T>) -> Option<T>,
    {
        self.change_if(|values| {
            let Some(next) = change(values.get(name)?) else {
                return Ok((None, None));
            };
            let mut values = values.clone();
            values.insert(name, &next)?;
            Ok((Some(values), Some(next)))
        })
        .await
    }

    async fn change<T>(
        &self,
        mut change: impl FnMut(&mut Values) -> Result<T, SessionError>,
    ) -> Result<T, SessionError> {
        self.change_if(|values| {
            let mut values = values.clone();
            let result = change(&mut values)?;
            Ok((Some(values), result))
        })
        .await
    }

    /// Changes the values by `change`, which gives the next ones, or `None` to leave them as they are, and its own
    /// result.
    async fn change_if<T>(
        &self,
        mut change: impl FnMut(&Values) -> Result<(Option<Values>, T), SessionError>,
    ) -> Result<T, SessionError> {
        self.has_values()?;
        if let Kind::Pending(pending) = &self.0 {
            while let Some(before) = pending.staged() {
                // No lock is held: it may ask its own session.
                let (next, result) = change(&before)?;
                let Some(next) = next else { return Ok(result) };
                check_size(&next, pending.core.config.max_values_bytes)?;
                if pending.replace_staged(&before, next) {
                    return Ok(result);
                }
            }
        }
        self.begun().await?.write_values(change).await
    }

    /// # Errors
    ///
    /// [`StoreErrorKind::Unsupported`] if the store keeps no records. To say so at once is better than to find nothing.
    fn has_values(&self) -> Result<(), SessionError> {
        let core = match &self.0 {
            Kind::Live(session) => session.core(),
            Kind::Pending(pending) => &pending.core,
        };
        if core.capabilities.records {
            return Ok(());
        }
        Err(StoreError::new(StoreErrorKind::Unsupported, NO_RECORDS).into())
    }

    /// The session, once it is known whether there is one.
    async fn begun(&self) -> Result<Arc<LiveSession>, SessionError> {
        match &self.0 {
            Kind::Live(session) => Ok(Arc::clone(session)),
            Kind::Pending(pending) => Ok(pending.outcome().await.ok_or(StoreErrorKind::Gone)?),
        }
    }
}
