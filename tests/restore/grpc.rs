//! gRPC calls in sessions that MCP began, under an audience of both: they load, and never replay.

use http::{Request, StatusCode};
use tower_mcp_session::testing::Answer;

use crate::pair::{INITIALIZED, Kind, MAPPED, Pair, both, send, soon};
use crate::support::{Body, ID, SECOND, initialize, post};

fn joined(kind: Kind) -> Pair {
    kind.pair_with(|layer| layer.with_audience("both").with_max_sessions(1))
}

fn call(id: &str) -> Request<Body> {
    Request::post("/pkg.Service/Do")
        .header(ID, id)
        .header("content-type", "application/grpc")
        .body(Body::default())
        .unwrap()
}

fn done() -> Answer {
    Answer::bytes("application/grpc", "").with_trailer("grpc-status", "0")
}

#[tokio::test]
async fn a_404_says_nothing_of_the_inner_session() {
    for kind in both() {
        for waits in [false, true] {
            let pair = joined(kind);
            let id = pair.b.begin().await;
            assert_eq!(pair.b.status(post(&id, INITIALIZED)).await, 202);
            if waits {
                pair.clock.advance(SECOND * 60);
            }
            let before = pair.seen().len();
            pair.b
                .server
                .answer_next(done().with_status(StatusCode::NOT_FOUND));
            assert_eq!(pair.b.status(call(&id)).await, 404);
            assert_eq!(pair.seen().len(), before + 1, "{:?}", pair.seen());
        }
    }
}

#[tokio::test]
async fn a_call_counts_as_use_until_its_end() {
    for waits in [false, true] {
        let pair = joined(MAPPED);
        let id = pair.b.begin().await;
        assert_eq!(pair.b.status(post(&id, INITIALIZED)).await, 202);
        if waits {
            pair.clock.advance(SECOND * 60);
        }
        pair.b.server.answer_next(done());
        pair.b.server.hold();
        let calling = send(&pair.b, call(&id));
        soon(pair.b.server.wait_for_held(1)).await;
        pair.clock.advance(SECOND * 600);
        pair.b.server.release();
        assert_eq!(soon(calling).await.unwrap(), 200);
        // It was used a moment ago: it is nobody's victim.
        assert_eq!(pair.b.status(initialize()).await, 503);
    }
}
