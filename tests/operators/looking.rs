//! What is public of all this shows no id.

use tower_mcp_session::{Principal, SessionFilter};

use crate::log::Log;
use crate::{Pair, key};

#[tokio::test]
async fn nothing_that_operators_see_and_nothing_that_is_logged_names_an_id_or_a_principal() {
    let (log, _guard) = Log::of_this_thread();
    let Pair {
        instances: [a, b], ..
    } = Pair::minting();
    let (who, inner) = ("alice@example.com", "inner-");
    let ids = [a.open_as(who).await, a.open_as(who).await];
    let principal = Principal::new(who);
    let mut shown = Vec::new();
    for instance in [&a, &b] {
        let sessions = instance.layer.sessions();
        let filter = SessionFilter::default().with_principal(&principal);
        let page = sessions.list(&filter, None, 10).await.unwrap();
        assert_eq!(page.sessions.len(), 2);
        let info = sessions.inspect(&key(&ids[0])).await.unwrap().unwrap();
        let statistics = sessions.statistics().await;
        let stored = sessions.stored_statistics().await.unwrap();
        shown.push(format!("{sessions:?} {filter:?} {page:?} {info:?}"));
        shown.push(format!("{sessions:#?} {statistics:?} {stored:?}"));
    }
    let sessions = b.layer.sessions();
    let key = key(&ids[0]);
    sessions.suspend(&key).await.unwrap();
    shown.push(format!("{:?}", sessions.suspend(&key).await.unwrap_err()));
    sessions.terminate(&key).await.unwrap();
    shown.push(format!("{:?}", sessions.suspend(&key).await.unwrap_err()));
    a.layer.sessions().terminate_all(&principal).await.unwrap();
    shown.push(log.text());
    assert!(log.text().contains("session ended"));
    for text in shown {
        for secret in [ids[0].as_str(), &ids[1], &ids[0][..12], who, inner] {
            assert!(!text.contains(secret), "{text}");
        }
    }
}
