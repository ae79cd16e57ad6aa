//! One server with some connections, its keepers and its clients, played through at random: crashes, hangs,
//! slow starts, cancels, stops, resets. What decides are the real rules; the judge keeps books of its own.
//!
//! A run hangs on its seed alone. A fault names the seed and the step at which it was found.

mod judge;
mod world;

use fastrand::Rng;

use self::judge::{Judge, check_worth};
use self::world::World;

/// Runs.
const SEEDS: u64 = 8;

/// Steps of one run.
const STEPS: u32 = 25_000;

#[test]
fn no_run_breaks_a_rule() {
    let play = |seed| {
        let mut world = World::new(Rng::with_seed(seed), seed);
        (0..STEPS).for_each(|_| world.step());
        world.drain()
    };
    let judges: Vec<Judge> = (0..SEEDS).map(play).collect();
    check_worth(&judges);
}
