//! CPU time and allocations of requests, the cases in turn.

use std::convert::Infallible;
use std::fmt::Debug;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use http_body_util::Full;
use tower::Service;

use super::requests::{Id, Kind, Template};
use super::time::{cpu_time, median};

pub(crate) const ROUNDS: usize = 21;

/// One way of serving one kind of request.
pub(crate) struct Case<'a> {
    name: &'static str,
    run: Run<'a>,
}

/// Serves a request for each of the ids.
type Run<'a> = Box<dyn FnMut(&[Id]) + 'a>;

/// What one case costs per request.
pub(crate) struct Line {
    pub(crate) name: &'static str,
    pub(crate) ns: f64,
    pub(crate) allocations: i64,
}

pub(crate) struct Medians {
    pub(crate) lines: Vec<Line>,
    /// By case, then by round.
    ns: Vec<Vec<f64>>,
}

impl<'a> Case<'a> {
    pub(crate) fn new<S, R>(name: &'static str, kind: Kind, mut service: S) -> Self
    where
        S: Service<Request<Full<Bytes>>, Response = Response<R>, Error = Infallible> + 'a,
        R: Body<Error: Debug>,
    {
        let template = Template::new(kind);
        let run = move |ids: &[Id]| {
            ids.iter()
                .for_each(|id| serve(&mut service, template.request(id)))
        };
        Self {
            name,
            run: Box::new(run),
        }
    }
}

impl Medians {
    /// The median of the ratios within a round.
    pub(crate) fn ratio(&self, case: usize, other: usize) -> f64 {
        let pairs = self.ns[case].iter().zip(&self.ns[other]);
        median(pairs.map(|(ns, other)| ns / other).collect())
    }
}

/// Runs `per_round` requests of each case in each round, each with the next id.
pub(crate) fn per_request(cases: &mut [Case<'_>], ids: &[Id], per_round: usize) -> Medians {
    let mut ids = ids.iter().copied().cycle();
    let mut next = || ids.by_ref().take(per_round).collect::<Vec<_>>();
    let warm_up = next();
    let allocations: Vec<i64> = cases
        .iter_mut()
        .map(|case| {
            (case.run)(&warm_up);
            let counted = allocation_counter::measure(|| (case.run)(&warm_up));
            (counted.count_total / per_round as u64) as i64
        })
        .collect();
    let mut ns = vec![Vec::new(); cases.len()];
    for round in 0..ROUNDS {
        let ids = next();
        // Each case is the first one in some of the rounds.
        for turn in 0..cases.len() {
            let index = (round + turn) % cases.len();
            let time = cpu_time(|| (cases[index].run)(&ids));
            ns[index].push(time.as_nanos() as f64 / per_round as f64);
        }
    }
    let lines = cases.iter().zip(allocations).zip(&ns);
    let lines = lines.map(|((case, allocations), ns)| Line {
        name: case.name,
        ns: median(ns.clone()),
        allocations,
    });
    Medians {
        lines: lines.collect(),
        ns,
    }
}

/// Serves one request, to the last frame of its answer.
pub(crate) fn serve<S, R>(service: &mut S, request: Request<Full<Bytes>>)
where
    S: Service<Request<Full<Bytes>>, Response = Response<R>, Error = Infallible>,
    R: Body<Error: Debug>,
{
    let cx = &mut Context::from_waker(Waker::noop());
    assert!(service.poll_ready(cx).is_ready());
    let Poll::Ready(Ok(response)) = pin!(service.call(request)).poll(cx) else {
        panic!("the inner service answers at once");
    };
    assert!(response.status().is_success());
    let mut body = pin!(response.into_body());
    while let Poll::Ready(Some(frame)) = body.as_mut().poll_frame(cx) {
        frame.expect("a body in memory does not fail");
    }
}
