//! What happens: a server of changing health, the keepers of its connections, and requests.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use fastrand::Rng;

use super::super::*;
use super::judge::{Judge, Told};
use crate::policy::retry::{Retry, Sent};

/// So many deadlines missed in a row, and a server is replaced.
const HANG_AFTER: u32 = 3;

/// What is due at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Due {
    /// A keeper may try to start now.
    MayStart(usize),
    /// The life with this number becomes ready.
    IsReady(usize, u64),
    /// It ends on its own.
    Ends(usize, u64),
    /// A request goes into its server's pipe.
    Written(usize, u64),
    /// Its answer comes.
    Answer(usize, u64),
    /// Its deadline passes.
    Late(usize, u64),
}

/// How a server fares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Health {
    Well,
    /// Starts fail, at once or slowly.
    Broken,
    /// It lives for moments.
    Flaps,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Rests { wanted: bool },
    Starts { start: Start, life: u64 },
    Ready { start: Start, life: u64, since: Duration, hangs: bool, missed: u32 },
}

struct Keeper {
    state: State,
    failed_starts: u64,
}

#[derive(Debug)]
struct Request {
    number: usize,
    keeper: usize,
    sent: Sent,
    /// The sending that is under way, if one is.
    sending: Option<u64>,
    /// What had failed when it came.
    failed_before: u64,
}

pub struct World {
    pub judge: Judge,
    rng: Rng,
    now: Duration,
    policy: Policy,
    health: Health,
    keepers: Vec<Keeper>,
    requests: Vec<Request>,
    due: BinaryHeap<Reverse<(Duration, u64, Due)>>,
    count: u64,
}

impl World {
    pub fn new(mut rng: Rng, seed: u64) -> Self {
        let limits = Limits { failure_threshold: rng.u32(2..8), ..Limits::default() };
        let keeper = |_| Keeper { state: State::Rests { wanted: false }, failed_starts: 0 };
        let keepers = (0..rng.usize(1..9)).map(keeper).collect();
        Self {
            judge: Judge::new(limits.clone(), seed),
            rng,
            now: Duration::ZERO,
            policy: Policy::new(limits),
            health: Health::Well,
            keepers,
            requests: Vec::new(),
            due: BinaryHeap::new(),
            count: 0,
        }
    }

    /// Something happens, and time goes by.
    pub fn step(&mut self) {
        self.judge.step += 1;
        match self.rng.u32(0..100) {
            0..60 => self.request(),
            60..66 => self.cancel(),
            66..70 => self.crash(),
            70..72 => self.hang(),
            72..74 => self.stop(),
            74 => self.reset(),
            75..77 => {
                self.health = *self.rng.choice(&[Health::Well, Health::Broken, Health::Flaps]).unwrap();
            }
            _ => {}
        }
        // Mostly moments, at times minutes.
        let most = *self.rng.choice(&[1, 20, 200, 500, 1000, 2000, 3000, 60_000]).unwrap();
        let until = self.now + ms(self.rng.u64(0..=most));
        self.go_on(Some(until));
    }

    /// Everything comes to its end.
    pub fn drain(mut self) -> Judge {
        self.go_on(None);
        self.judge.all_answered();
        self.judge
    }

    fn go_on(&mut self, until: Option<Duration>) {
        while let Some(Reverse((at, _, due))) = self.due.peek().copied()
            && until.is_none_or(|until| at <= until)
        {
            self.due.pop();
            self.now = at;
            self.happens(due);
            self.look();
        }
        self.now = until.unwrap_or(self.now);
        self.look();
    }

    /// What holds at every moment.
    fn look(&mut self) {
        if self.policy.breaker(self.now) == Breaker::Open {
            // A start that is under way may yet succeed.
            let waits = |request: &Request| {
                request.sending.is_none() && matches!(self.keepers[request.keeper].state, State::Rests { .. })
            };
            self.judge.check(!self.requests.iter().any(waits), "nobody waits for a parked server");
        }
    }

    fn happens(&mut self, due: Due) {
        match due {
            Due::MayStart(keeper) => self.tend(keeper),
            Due::IsReady(keeper, life) => self.ready(keeper, life),
            Due::Ends(keeper, life) => {
                if self.life(keeper) == Some(life) {
                    self.fails(keeper, Nature::Passing);
                }
            }
            Due::Written(number, sending) => {
                if let Some(request) = self.under_way(number, sending) {
                    request.sent.written = true;
                    self.judge.reaches(number);
                }
            }
            Due::Answer(number, sending) => {
                if let Some(keeper) = self.under_way(number, sending).map(|request| request.keeper) {
                    match &mut self.keepers[keeper].state {
                        State::Ready { hangs: true, .. } => return,
                        State::Ready { missed, .. } => *missed = 0,
                        state => panic!("a request is under way on {state:?}"),
                    }
                    self.answer(number, Told::Result);
                }
            }
            Due::Late(number, sending) => {
                if let Some(keeper) = self.under_way(number, sending).map(|request| request.keeper) {
                    self.answer(number, Told::Timeout);
                    if let State::Ready { missed, .. } = &mut self.keepers[keeper].state {
                        *missed += 1;
                        if *missed >= HANG_AFTER {
                            self.fails(keeper, Nature::Passing);
                        }
                    }
                }
            }
        }
    }

    // --- requests ---

    fn request(&mut self) {
        let reads = self.rng.bool();
        let number = self.judge.comes(reads);
        let keeper = self.rng.usize(0..self.keepers.len());
        let sent = Sent { written: false, reads, again: false };
        let failed_before = self.keepers[keeper].failed_starts;
        self.requests.push(Request { number, keeper, sent, sending: None, failed_before });
        self.wait(number, keeper);
    }

    /// A request goes to its server, or waits for it, or is refused.
    fn wait(&mut self, number: usize, keeper: usize) {
        if let State::Ready { .. } = self.keepers[keeper].state {
            return self.send(number);
        }
        if let State::Rests { wanted } = &mut self.keepers[keeper].state {
            *wanted = true;
        }
        self.tend(keeper);
    }

    fn send(&mut self, number: usize) {
        self.count += 1;
        let sending = self.count;
        let request = self.requests.iter_mut().find(|request| request.number == number).unwrap();
        (request.sending, request.sent.written) = (Some(sending), false);
        let delay = ms(self.rng.u64(0..3));
        let took = ms(if self.rng.u32(0..20) == 0 { 40_000 } else { self.rng.u64(0..3000) });
        self.plan(delay, Due::Written(number, sending));
        self.plan(delay + took, Due::Answer(number, sending));
        self.plan(ms(30_000), Due::Late(number, sending));
    }

    fn under_way(&mut self, number: usize, sending: u64) -> Option<&mut Request> {
        let is_it = |request: &&mut Request| request.number == number && request.sending == Some(sending);
        self.requests.iter_mut().find(is_it)
    }

    fn answer(&mut self, number: usize, told: Told) {
        self.judge.answers(number, told);
        self.requests.retain(|request| request.number != number);
    }

    fn cancel(&mut self) {
        if !self.requests.is_empty() {
            let taken_back = self.requests.swap_remove(self.rng.usize(0..self.requests.len()));
            self.judge.cancels(taken_back.number);
        }
    }

    // --- the server ---

    fn crash(&mut self) {
        let keeper = self.rng.usize(0..self.keepers.len());
        if self.life(keeper).is_some() {
            self.fails(keeper, Nature::Passing);
        }
    }

    fn hang(&mut self) {
        let keeper = self.rng.usize(0..self.keepers.len());
        if let State::Ready { hangs, .. } = &mut self.keepers[keeper].state {
            *hangs = true;
        }
    }

    /// It is ended on purpose, if nobody waits for it.
    fn stop(&mut self) {
        let keeper = self.rng.usize(0..self.keepers.len());
        let is_used = self.requests.iter().any(|request| request.keeper == keeper);
        if let (Some((start, ready_for)), false) = (self.started(keeper), is_used) {
            self.keepers[keeper].state = State::Rests { wanted: false };
            self.judge.ends(start, ready_for);
            self.policy.ended(start, ready_for);
            self.tend_all();
        }
    }

    fn reset(&mut self) {
        if self.rng.u32(0..10) == 0 {
            self.judge.forgets();
            self.policy.reset();
            self.tend_all();
        }
    }

    // --- keepers, as `downstream/keeper` is one ---

    fn life(&self, keeper: usize) -> Option<u64> {
        match self.keepers[keeper].state {
            State::Rests { .. } => None,
            State::Starts { life, .. } | State::Ready { life, .. } => Some(life),
        }
    }

    fn started(&self, keeper: usize) -> Option<(Start, Option<Duration>)> {
        match self.keepers[keeper].state {
            State::Rests { .. } => None,
            State::Starts { start, .. } => Some((start, None)),
            State::Ready { start, since, .. } => Some((start, Some(self.now - since))),
        }
    }

    fn tend_all(&mut self) {
        (0..self.keepers.len()).for_each(|keeper| self.tend(keeper));
    }

    fn tend(&mut self, keeper: usize) {
        let State::Rests { wanted } = self.keepers[keeper].state else { return };
        if self.policy.breaker(self.now) == Breaker::Open {
            self.keepers[keeper].state = State::Rests { wanted: false };
            return self.refuse(keeper, |_| true);
        }
        if !wanted {
            return;
        }
        match self.policy.start(self.now) {
            Admission::Now(start) => {
                self.judge.starts(start, self.now);
                self.count += 1;
                let life = self.count;
                self.keepers[keeper].state = State::Starts { start, life };
                let took = ms(*self.rng.choice(&[5, 50, 300, 3000, 40_000]).unwrap());
                let due = match self.health {
                    Health::Broken => Due::Ends(keeper, life),
                    Health::Well | Health::Flaps => Due::IsReady(keeper, life),
                };
                self.plan(took, due);
            }
            Admission::After(wait) => self.plan(wait, Due::MayStart(keeper)),
            Admission::Undecided => {}
        }
    }

    fn ready(&mut self, keeper: usize, life: u64) {
        let State::Starts { start, life: own } = self.keepers[keeper].state else { return };
        if own != life {
            return;
        }
        self.judge.is_ready(start);
        self.policy.ready(start);
        let since = self.now;
        self.keepers[keeper].state = State::Ready { start, life, since, hangs: false, missed: 0 };
        if self.health == Health::Flaps {
            let lives = ms(self.rng.u64(0..5000));
            self.plan(lives, Due::Ends(keeper, life));
        }
        let waiting = self.requests.iter().filter(|request| request.keeper == keeper);
        let waiting: Vec<usize> = waiting.map(|request| request.number).collect();
        waiting.into_iter().for_each(|number| self.send(number));
        self.tend_all();
    }

    fn fails(&mut self, keeper: usize, nature: Nature) {
        let Some((start, ready_for)) = self.started(keeper) else { return };
        let verdict = self.policy.failed(start, self.now, nature, ready_for, self.rng.f64());
        self.judge.fails(start, self.now, ready_for, verdict);
        self.keepers[keeper].state = State::Rests { wanted: false };
        self.keepers[keeper].failed_starts += u64::from(ready_for.is_none());
        let failed = self.keepers[keeper].failed_starts;
        let mut again = Vec::new();
        let mut told = Vec::new();
        for request in self.requests.iter_mut().filter(|request| request.keeper == keeper) {
            if request.sending.take().is_none() {
                continue;
            }
            match request.sent.retry() {
                Retry::Again => {
                    request.sent.again = true;
                    request.failed_before = failed;
                    again.push(request.number);
                }
                Retry::NotSent => told.push((request.number, Told::Unavailable)),
                Retry::Unknown => told.push((request.number, Told::Unknown)),
            }
        }
        told.into_iter().for_each(|(number, told)| self.answer(number, told));
        // A request is given one start.
        self.refuse(keeper, |request| request.failed_before < failed);
        for number in again {
            if self.requests.iter().any(|request| request.number == number) {
                self.wait(number, keeper);
            }
        }
        self.tend_all();
    }

    fn refuse(&mut self, keeper: usize, which: impl Fn(&Request) -> bool) {
        let refused = self
            .requests
            .iter()
            .filter(|request| request.keeper == keeper && request.sending.is_none() && which(request));
        let refused: Vec<usize> = refused.map(|request| request.number).collect();
        refused.into_iter().for_each(|number| self.answer(number, Told::Unavailable));
    }

    fn plan(&mut self, after: Duration, due: Due) {
        self.count += 1;
        self.due.push(Reverse((self.now + after, self.count, due)));
    }
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}
