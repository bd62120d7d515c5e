//! Several instances, as processes, over one store: what one begins, all serve, and what one ends, none does.
//!
//! Each scenario runs with rmcp in its stateful and in its stateless mode, on Redis, on PostgreSQL and on SQLite; in its
//! stateful mode, which is harder, behind signed ids too.

#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../support/example.rs"]
mod example;
#[path = "../support/frameworks.rs"]
mod frameworks;
#[path = "../support/mcp_http.rs"]
mod mcp_http;
#[path = "../support/postgres.rs"]
mod postgres;
#[path = "../support/redis.rs"]
mod redis;
#[path = "../support/server.rs"]
mod server;

mod faults;
mod meanwhile;
mod rolling;
mod scenarios;
mod site;

use site::Site;

/// One test for each scenario, at a site made by the expression.
macro_rules! scenarios {
    ($name:ident, $site:expr) => {
        mod $name {
            use super::*;

            scenarios!(@tests $site,
                scenarios::a_session_begun_on_one_instance_goes_on_at_the_other,
                scenarios::ended_on_one_instance_is_404_on_the_other_at_once,
                scenarios::an_instance_killed_in_mid_request_leaves_its_sessions_to_the_other,
                scenarios::both_instances_killed_and_started_again_serve_what_they_had,
                scenarios::two_hundred_increments_over_both_instances_lose_none,
                scenarios::fifty_first_requests_restore_a_session_once,
                scenarios::work_and_streams_end_when_the_session_is_ended_elsewhere,
                meanwhile::a_call_of_forty_minutes_is_not_expired_by_the_other_instance,
                meanwhile::a_session_ended_in_the_middle_of_its_restore_is_404,
                meanwhile::a_session_that_expires_in_the_middle_of_its_restore_is_404,
                meanwhile::a_session_suspended_in_the_middle_of_its_restore_is_kept_and_503,
                rolling::a_rolling_restart_under_load_fails_no_request,
            );
        }
    };
    // Those that need neither values nor an end for want of use.
    ($name:ident without values, $site:expr) => {
        mod $name {
            use super::*;

            scenarios!(@tests $site,
                scenarios::work_and_streams_end_when_the_session_is_ended_elsewhere,
                meanwhile::a_session_ended_in_the_middle_of_its_restore_is_404,
                meanwhile::a_session_that_expires_in_the_middle_of_its_restore_is_404,
            );
        }
    };
    (@tests $site:expr, $($module:ident::$scenario:ident,)*) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $scenario() {
                $module::$scenario(&$site).await;
            }
        )*
    };
}

scenarios!(redis_stateless, Site::on_redis("stateless").await);
scenarios!(redis_stateful, Site::on_redis("stateful").await);
scenarios!(postgres_stateless, Site::on_postgres("stateless").await);
scenarios!(postgres_stateful, Site::on_postgres("stateful").await);
scenarios!(sqlite_stateless, Site::on_sqlite("stateless"));
scenarios!(sqlite_stateful, Site::on_sqlite("stateful"));
scenarios!(signed_stateful, Site::on_signed("stateful"));
scenarios!(signed_with_a_list_stateful without values, Site::on_signed_with_a_list("stateful"));
