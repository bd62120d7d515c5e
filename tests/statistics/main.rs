//! Whatever happens to the sessions of two instances, their statistics say what a recount says.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic")]

mod ending;
mod model;
mod recount;
mod scene;

#[path = "../support/sessions.rs"]
mod support;

use scene::Scene;

/// Numbers that look random, the same ones for the same seed.
struct Numbers(u64);

impl Numbers {
    /// One below `end`.
    fn below(&mut self, end: usize) -> usize {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        usize::try_from(mixed % end as u64).unwrap()
    }
}

/// One step, chosen by `numbers`.
async fn step(scene: &mut Scene, numbers: &mut Numbers) {
    let (at, who) = (numbers.below(2), numbers.below(5));
    let session = scene.some_session(numbers);
    let chance = numbers.below(1000);
    match (chance, session) {
        (0..220, _) => scene.begin(at, who).await,
        (220..600, Some(session)) => scene.request(at, session).await,
        (600..640, Some(session)) => scene.suspend(at, session, true).await,
        (640..700, Some(session)) => scene.suspend(at, session, false).await,
        (700..740, Some(session)) => scene.delete(at, session).await,
        (740..770, Some(session)) => scene.terminate(at, session).await,
        (770..776, _) => scene.terminate_all(at, 1 + who % 4).await,
        (776..800, Some(session)) => scene.request_of_a_stranger(at, session).await,
        (800..830, _) => scene.request_of_nobody(at, numbers.below(2) == 0).await,
        (830..870, _) => scene.pass(1 + numbers.below(60) as u64).await,
        (870..900, _) => scene.pass(1 + numbers.below(300) as u64).await,
        (900..910, _) => scene.turn_histories(at),
        (_, Some(session)) => scene.request(at, session).await,
        (_, None) => scene.begin(at, who).await,
    }
}

/// Five thousand steps, and a recount now and then.
async fn take_steps(seed: u64, watched: bool) {
    let (mut numbers, mut scene) = (Numbers(seed), Scene::new(watched));
    for number in 1..=5_000 {
        step(&mut scene, &mut numbers).await;
        if number % 250 == 0 {
            scene.compare(&format!("seed {seed}, step {number}")).await;
        }
    }
    scene.has_seen_all();
}

#[tokio::test]
async fn a_recount_comes_to_the_same_where_instances_watch_the_store() {
    take_steps(1, true).await;
}

#[tokio::test]
async fn a_recount_comes_to_the_same_where_instances_ask_the_store() {
    take_steps(2, false).await;
}
