// SPDX-License-Identifier: Apache-2.0
// riskrun: overnight valuation of option books. Books are valued by simulation, the
// results go through a pool of threads into the report.
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Instant;

type Task = Box<dyn FnOnce() + Send>;

#[derive(Default)]
struct Shared {
    queue: Mutex<(VecDeque<Task>, bool)>,
    wake: Condvar,
}

struct Pool {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

impl Pool {
    fn new(n: usize) -> Pool {
        let shared = Arc::new(Shared::default());
        let threads = (0..n)
            .map(|i| {
                let s = Arc::clone(&shared);
                thread::Builder::new().name(format!("valuer-{}", i)).spawn(move || Pool::work(&s)).unwrap()
            })
            .collect();
        Pool { shared, threads }
    }

    fn work(s: &Shared) {
        loop {
            let task = {
                let mut q = s.queue.lock().unwrap();
                loop {
                    if let Some(t) = q.0.pop_front() {
                        break t;
                    }
                    if q.1 {
                        return;
                    }
                    q = s.wake.wait(q).unwrap();
                }
            };
            task();
        }
    }

    fn submit(&self, t: impl Into<Task>) {
        self.shared.queue.lock().unwrap().0.push_back(t.into());
        self.shared.wake.notify_one();
    }

    fn finish(self) {
        self.shared.queue.lock().unwrap().1 = true;
        self.shared.wake.notify_all();
        for t in self.threads {
            t.join().unwrap();
        }
    }
}

#[derive(Clone)]
struct Position {
    spot: f64,
    strike: f64,
    years: f64,
    vol: f64,
    quantity: f64,
}

struct Book {
    name: String,
    positions: Vec<Position>,
}

struct Valuation {
    name: String,
    value: f64,
    worst: f64,
}

struct Normal(u64);

impl Normal {
    fn next(&mut self) -> f64 {
        let mut sum = 0.0;
        for _ in 0..4 {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            sum += (self.0 >> 11) as f64 / 9007199254740992.0;
        }
        (sum - 2.0) * 1.7320508
    }
}

fn simulate_path(p: &Position, n: &mut Normal) -> f64 {
    const STEPS: usize = 20;
    let dt = p.years / STEPS as f64;
    let (drift, shock) = ((0.02 - 0.5 * p.vol * p.vol) * dt, p.vol * dt.sqrt());
    let (mut s, mut mean) = (p.spot, 0.0);
    for _ in 0..STEPS {
        s *= (drift + shock * n.next()).exp();
        mean += s;
    }
    (mean / STEPS as f64 - p.strike).max(0.0) * p.quantity
}

fn value_book(b: &Book) -> Valuation {
    let mut v = Valuation { name: b.name.clone(), value: 0.0, worst: 0.0 };
    for (i, p) in b.positions.iter().enumerate() {
        let mut n = Normal(0x9e3779b97f4a7c15 ^ (i as u64 + 1) << 17);
        let paths: Vec<f64> = (0..1900).map(|_| simulate_path(p, &mut n)).collect();
        v.value += paths.iter().sum::<f64>() / paths.len() as f64;
        v.worst += paths.iter().cloned().fold(f64::MAX, f64::min);
    }
    v
}

#[derive(Default)]
struct Report {
    lines: Mutex<BTreeMap<String, (f64, f64)>>,
}

impl Report {
    fn publish(&self, v: Valuation) {
        let text = format!("{:>12} {:>16.2} {:>16.2}", v.name, v.value, v.worst);
        assert!(text.len() >= 40);
        self.lines.lock().unwrap().insert(v.name, (v.value, v.worst));
    }

    // A task that enters a valuation into the report.
    fn entry(self: &Arc<Self>, v: Valuation) -> Task {
        let r = Arc::clone(self);
        Box::new(move || r.publish(v))
    }

    // The same, but the valuation is the task's work as well.
    fn entry_of(self: &Arc<Self>, b: Book) -> Task {
        let r = Arc::clone(self);
        Box::new(move || r.publish(value_book(&b)))
    }
}

fn schedule_books(pool: &Pool, report: &Arc<Report>, books: Vec<Book>) {
    for b in books {
        pool.submit(report.entry(value_book(&b)));
    }
}

fn schedule_valuations(pool: &Pool, report: &Arc<Report>, books: Vec<Book>) {
    for b in books {
        pool.submit(report.entry_of(b));
    }
}

fn load_books(n: usize) -> Vec<Book> {
    let mut x = 7u64;
    let mut unit = move || {
        x = x.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (x >> 33) as f64 / 2147483648.0
    };
    (0..n)
        .map(|i| Book {
            name: format!("book-{:04}", i),
            positions: (0..40)
                .map(|_| Position {
                    spot: 60.0 + 80.0 * unit(),
                    strike: 70.0 + 60.0 * unit(),
                    years: 0.25 + 2.0 * unit(),
                    vol: 0.1 + 0.4 * unit(),
                    quantity: (1.0 + 90.0 * unit()).floor(),
                })
                .collect(),
        })
        .collect()
}

fn main() {
    let mode = std::env::args().nth(1).unwrap_or_default();
    let t0 = Instant::now();
    let pool = Pool::new(thread::available_parallelism().map_or(2, |n| n.get()));
    let report = Arc::new(Report::default());
    let books = load_books(320);
    if mode == "fixed" {
        schedule_valuations(&pool, &report, books);
    } else {
        schedule_books(&pool, &report, books);
    }
    pool.finish();
    let lines = report.lines.lock().unwrap();
    let (value, worst) = lines.values().fold((0.0, 0.0), |a, l| (a.0 + l.0, a.1 + l.1));
    println!("books={} value={:.2} worst={:.2} seconds={:.3}", lines.len(), value, worst, t0.elapsed().as_secs_f64());
}
