//! Lists and counts.

use super::*;

#[tokio::test]
async fn a_list_gives_each_living_session_once_page_by_page() {
    let store = in_a_new_folder();
    let mut living = Vec::new();
    for n in 0..30 {
        let session = begin(&store, "value").await.unwrap();
        if n % 3 == 0 {
            store
                .delete(&session.key, session.last_activity)
                .await
                .unwrap();
        } else {
            living.push(session.key);
        }
    }
    living.sort();
    let now = SystemClock.now();
    for limit in [0, 1, 7, 20, 21, usize::MAX] {
        let (mut keys, mut after) = (Vec::new(), None);
        loop {
            let page = list(&store, now, after, limit).await.unwrap();
            assert!(page.sessions.len() <= limit.max(1));
            keys.extend(page.sessions.iter().map(|session| session.key));
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        assert_eq!(keys, living, "pages of {limit}");
    }
    assert_eq!(count(&store, now).await.unwrap(), living.len() as u64);
}

#[tokio::test]
async fn a_list_says_whose_a_session_is_and_when_it_was_used() {
    let store = in_a_new_folder();
    let session = begin(&store, "value").await.unwrap();
    let (used, deadline) = (SystemClock.now(), later());
    store
        .touch(&session.key, used, Some(deadline))
        .await
        .unwrap();

    let page = list(&store, used, None, 10).await.unwrap();
    let [listed] = &page.sessions[..] else {
        panic!("there is one session: {page:?}");
    };
    assert_eq!(listed.key, session.key);
    assert_eq!(
        listed.record.owner(),
        Some(&OwnerTag::of(&Principal::new("alice")))
    );
    assert_eq!(listed.record, session.record);
    assert_eq!(
        (listed.last_activity, listed.idle_deadline),
        (used, deadline)
    );
    assert!(!format!("{page:?}").contains(&session.id.expose()));
    assert!(page.next.is_none() && page.unreadable.is_empty());
}

#[tokio::test]
async fn expired_sessions_are_neither_listed_nor_counted() {
    let store = in_a_new_folder();
    let session = begin(&store, "value").await.unwrap();
    for (now, living) in [(session.last_activity, 1), (session.idle_deadline, 0)] {
        let page = list(&store, now, None, 10).await.unwrap();
        assert_eq!(page.sessions.len(), living);
        assert_eq!(count(&store, now).await.unwrap(), living as u64);
    }
}
