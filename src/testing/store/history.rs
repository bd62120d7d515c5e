//! The contract of [`HistoryStore`](crate::store::HistoryStore).
//!
//! Each rule takes two handles to the same data, which may be two clones: what one appends, the other reads.

use std::sync::Arc;

use super::subject::{IDLE, MILLISECOND, MINUTE, Subject, answered, done, refused_as};
use crate::session::{
    HistoryLimits, HistorySummary, Message, Role, SessionId, SessionKey, Timestamp,
};
use crate::store::{HistoryStore, SessionStore, StoreError, StoreErrorKind};

/// What is appended is read in its order, `recent` gives the last ones, and all of it survives as it was.
///
/// # Panics
///
/// If the store breaks this promise.
pub async fn history_keeps_what_was_said(
    first: Arc<dyn SessionStore>,
    second: Arc<dyn SessionStore>,
) {
    let [writer, reader] = Subject::pair(first, second);
    let session = writer.begin().await;
    assert_eq!(reader.recent(&session.key, 10).await, []);
    let mut metadata = super::subject::values("from", "\u{0}\"\u{1f600}");
    metadata
        .insert("n", &18_446_744_073_709_551_615_u64)
        .expect("a number is JSON");
    let odd = Message::new(Role::Tool, "{}[]\\\u{0}\u{1f600}", writer.now)
        .and_then(|message| message.with_metadata(&metadata))
        .expect("text is JSON");
    let all = [said(&writer, 0), odd, said(&writer, 2), said(&writer, 3)];
    writer.append(&session.key, &all[..1], WIDE).await;
    writer.append(&session.key, &all[1..], WIDE).await;
    for (count, expected) in [(0, 4), (1, 3), (3, 1), (4, 0), (usize::MAX, 0)] {
        let recent = reader.recent(&session.key, count).await;
        assert_eq!(recent, all[expected..], "`recent` of {count}");
    }
}

/// The oldest messages go when there are too many, and when they are too long together.
///
/// # Panics
///
/// If the store breaks this promise.
pub async fn history_keeps_to_its_limits(
    first: Arc<dyn SessionStore>,
    second: Arc<dyn SessionStore>,
) {
    let [writer, reader] = Subject::pair(first, second);
    let all: Vec<_> = (0..9).map(|number| said(&writer, number)).collect();
    let size = all[0].size();
    for (limits, kept) in [
        (HistoryLimits::new(3, usize::MAX), 3),
        (HistoryLimits::new(usize::MAX, 4 * size), 4),
        (HistoryLimits::new(usize::MAX, 4 * size - 1), 3),
        (HistoryLimits::new(5, 2 * size), 2),
        (HistoryLimits::new(0, usize::MAX), 0),
        (HistoryLimits::new(9, size - 1), 0),
    ] {
        let session = writer.begin().await;
        for messages in all.chunks(2) {
            writer.append(&session.key, messages, limits).await;
        }
        let recent = reader.recent(&session.key, usize::MAX).await;
        assert_eq!(recent, all[all.len() - kept..], "within {limits:?}");
        let summary = reader.summary(&session.key).await;
        assert_eq!(
            (summary.total, summary.kept),
            (9, kept),
            "within {limits:?}"
        );
    }
}

/// The summary counts each message there ever was by its role, and knows the first and the last.
///
/// # Panics
///
/// If the store breaks this promise.
pub async fn history_is_summed_up(first: Arc<dyn SessionStore>, second: Arc<dyn SessionStore>) {
    let [writer, reader] = Subject::pair(first, second);
    let session = writer.begin().await;
    assert_eq!(
        reader.summary(&session.key).await,
        HistorySummary::default()
    );
    let roles = [
        Role::System,
        Role::User,
        Role::Tool,
        Role::User,
        Role::Assistant,
    ];
    for (number, role) in roles.into_iter().enumerate() {
        let at = writer.after(MINUTE * number as u32);
        let message = Message::new(role, &number, at).expect("a number is JSON");
        writer
            .append(&session.key, &[message], HistoryLimits::new(2, 1_000))
            .await;
    }
    let counts = Role::ALL.map(|role| roles.iter().filter(|said| **said == role).count() as u64);
    let last = writer.after(MINUTE * 4);
    let expected = HistorySummary::new(counts, 2, Some(writer.now), Some(last));
    assert_eq!(reader.summary(&session.key).await, expected);
}

/// `clear` forgets the messages and their numbers, and what is said after it is kept.
///
/// # Panics
///
/// If the store breaks this promise.
pub async fn history_is_cleared(first: Arc<dyn SessionStore>, second: Arc<dyn SessionStore>) {
    let [writer, reader] = Subject::pair(first, second);
    let session = writer.begin().await;
    writer.append(&session.key, &[said(&writer, 1)], WIDE).await;
    done("clear", reader.clear(&session.key, reader.now).await);
    assert_eq!(writer.recent(&session.key, 9).await, []);
    assert_eq!(
        writer.summary(&session.key).await,
        HistorySummary::default()
    );
    let again = said(&writer, 2);
    writer
        .append(&session.key, std::slice::from_ref(&again), WIDE)
        .await;
    assert_eq!(reader.recent(&session.key, 9).await, [again]);
    assert_eq!(reader.summary(&session.key).await.total, 1);
}

/// Sessions do not see each other's messages.
///
/// # Panics
///
/// If the store breaks this promise.
pub async fn histories_are_isolated(first: Arc<dyn SessionStore>, second: Arc<dyn SessionStore>) {
    let [writer, reader] = Subject::pair(first, second);
    let (one, other) = (writer.begin().await, writer.begin().await);
    writer.append(&one.key, &[said(&writer, 1)], WIDE).await;
    writer.append(&other.key, &[said(&writer, 2)], WIDE).await;
    done("clear", writer.clear(&other.key, writer.now).await);
    assert_eq!(reader.recent(&one.key, 9).await, [said(&writer, 1)]);
    assert_eq!(reader.recent(&other.key, 9).await, []);
}

/// There is a history only of a session that is alive: of one that is unknown, expired or ended all is refused, and
/// what is refused does nothing.
///
/// # Panics
///
/// If the store breaks this promise.
pub async fn history_is_of_the_living(first: Arc<dyn SessionStore>, second: Arc<dyn SessionStore>) {
    let [writer, reader] = Subject::pair(first, second);
    let unknown = SessionId::random().expect("the system has random bits");
    reader
        .has_no_history(&SessionKey::new("", &unknown), reader.now)
        .await;

    let session = writer.begin().await;
    writer.append(&session.key, &[said(&writer, 1)], WIDE).await;
    let end = writer.idle_end(writer.after(IDLE), session.record.absolute_end());
    reader.has_no_history(&session.key, end).await;
    let last = end.saturating_sub(MILLISECOND);
    let kept = answered("recent", reader.history().recent(&session.key, last, 9)).await;
    assert_eq!(
        done("recent", kept),
        [said(&writer, 1)],
        "in the last millisecond"
    );

    writer.delete(&session.key, writer.now).await;
    reader.has_no_history(&session.key, reader.now).await;
}

/// An append moves no deadline and does not change the record or its revision.
///
/// # Panics
///
/// If the store breaks this promise.
pub async fn an_append_is_no_use(first: Arc<dyn SessionStore>, second: Arc<dyn SessionStore>) {
    let [writer, reader] = Subject::pair(first, second);
    let session = writer.begin().await;
    let late = writer.after(IDLE / 2);
    let call = writer
        .history()
        .append(&session.key, late, vec![said(&writer, 1)], WIDE);
    done("append", answered("append", call).await);
    super::subject::assert_same(
        &reader.present(&session.id).await,
        &session,
        "after an append",
    );
}

/// The calls that the rules make.
impl Subject {
    fn history(&self) -> &dyn HistoryStore {
        let history = self.store.history();
        history.expect("a store on trial for its histories keeps some")
    }

    pub(super) async fn append(
        &self,
        key: &SessionKey,
        messages: &[Message],
        limits: HistoryLimits,
    ) {
        let call = self
            .history()
            .append(key, self.now, messages.to_vec(), limits);
        done("append", answered("append", call).await);
    }

    pub(super) async fn recent(&self, key: &SessionKey, count: usize) -> Vec<Message> {
        let call = self.history().recent(key, self.now, count);
        done("recent", answered("recent", call).await)
    }

    pub(super) async fn summary(&self, key: &SessionKey) -> HistorySummary {
        let call = self.history().summary(key, self.now);
        done("summary", answered("summary", call).await)
    }

    async fn clear(&self, key: &SessionKey, now: Timestamp) -> Result<(), StoreError> {
        answered("clear", self.history().clear(key, now)).await
    }

    async fn has_no_history(&self, key: &SessionKey, now: Timestamp) {
        let history = self.history();
        let gone = StoreErrorKind::Gone;
        let append = history.append(key, now, vec![said(self, 0)], WIDE);
        refused_as(
            gone,
            "`append` without a session",
            answered("append", append).await,
        );
        let recent = answered("recent", history.recent(key, now, 9)).await;
        refused_as(gone, "`recent` without a session", recent);
        let summary = answered("summary", history.summary(key, now)).await;
        refused_as(gone, "`summary` without a session", summary);
        refused_as(
            gone,
            "`clear` without a session",
            self.clear(key, now).await,
        );
    }
}

fn said(subject: &Subject, number: u64) -> Message {
    Message::new(Role::User, &number, subject.now).expect("a number is JSON")
}

const WIDE: HistoryLimits = HistoryLimits::new(1_000, 1 << 20);
