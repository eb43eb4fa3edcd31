// SPDX-License-Identifier: Apache-2.0
// tickd: mostly idle housekeeping daemon driven by timers.
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
enum Chore {
    RotateKeys,
    FlushStats,
    ProbePeers,
    TrimJournal,
}

struct Agenda {
    heap: BinaryHeap<Reverse<(Instant, Chore)>>,
    closing: bool,
}

struct Timer {
    agenda: Mutex<Agenda>,
    changed: Condvar,
}

impl Timer {
    fn new() -> Self {
        Timer { agenda: Mutex::new(Agenda { heap: BinaryHeap::new(), closing: false }), changed: Condvar::new() }
    }

    fn plan(&self, at: Instant, c: Chore) {
        self.agenda.lock().unwrap().heap.push(Reverse((at, c)));
        self.changed.notify_one();
    }

    fn next_due(&self) -> Option<(Instant, Chore)> {
        let mut a = self.agenda.lock().unwrap();
        loop {
            if a.closing {
                return None;
            }
            let now = Instant::now();
            a = match a.heap.peek() {
                Some(Reverse((at, _))) if *at <= now => return a.heap.pop().map(|Reverse(x)| x),
                Some(Reverse((at, _))) => {
                    let d = *at - now;
                    self.changed.wait_timeout(a, d).unwrap().0
                }
                None => self.changed.wait(a).unwrap(),
            };
        }
    }

    fn close(&self) {
        self.agenda.lock().unwrap().closing = true;
        self.changed.notify_all();
    }
}

fn period(c: Chore) -> Duration {
    Duration::from_millis(match c {
        Chore::RotateKeys => 250,
        Chore::FlushStats => 100,
        Chore::ProbePeers => 150,
        Chore::TrimJournal => 400,
    })
}

fn perform(c: Chore, n: u64) -> u64 {
    let rounds = match c {
        Chore::RotateKeys => 40_000,
        Chore::FlushStats => 10_000,
        Chore::ProbePeers => 5_000,
        Chore::TrimJournal => 60_000,
    };
    let mut h = n + 1;
    for i in 0..rounds {
        h = h.wrapping_mul(6364136223846793005).wrapping_add(i);
    }
    h
}

fn housekeeping(timer: Arc<Timer>) -> (u64, HashMap<Chore, u64>) {
    let mut done: HashMap<Chore, u64> = HashMap::new();
    let mut sum = 0u64;
    while let Some((at, c)) = timer.next_due() {
        let n = done.entry(c).or_insert(0);
        sum = sum.wrapping_add(perform(c, *n));
        *n += 1;
        timer.plan(at + period(c), c);
    }
    (sum, done)
}

fn main() {
    let t0 = Instant::now();
    let timer = Arc::new(Timer::new());
    for c in [Chore::RotateKeys, Chore::FlushStats, Chore::ProbePeers, Chore::TrimJournal] {
        timer.plan(t0 + period(c), c);
    }
    let t = timer.clone();
    let keeper = thread::Builder::new().name("keeper".into()).spawn(move || housekeeping(t)).unwrap();
    thread::sleep(Duration::from_millis(3030));
    timer.close();
    let (sum, done) = keeper.join().unwrap();
    let total: u64 = done.values().sum();
    println!("chores={} checksum={} seconds={:.3}", total, sum, t0.elapsed().as_secs_f64());
}
