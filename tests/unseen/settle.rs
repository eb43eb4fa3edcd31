// SPDX-License-Identifier: Apache-2.0
// settle: end-of-day settlement of trades. Every batch goes through validation, netting
// and posting; the stages run on helpers, the clerk waits for one before the next.
use std::collections::HashMap;
use std::sync::mpsc::{channel, Sender};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

#[derive(Clone)]
struct Trade {
    account: u32,
    peer: u32,
    amount: i64,
    seal: u64,
}

#[derive(Clone, Copy)]
enum Patience {
    Paced { first: Duration, most: Duration },
    Signalled,
}

struct Outcome<T> {
    value: Mutex<Option<T>>,
    ready: Condvar,
}

struct Ticket<T> {
    outcome: Arc<Outcome<T>>,
    patience: Patience,
}

impl<T> Ticket<T> {
    fn poll(&self) -> Option<T> {
        self.outcome.value.lock().unwrap().take()
    }

    fn wait(self) -> T {
        match self.patience {
            Patience::Paced { first, most } => {
                let mut pause = first;
                loop {
                    if let Some(v) = self.poll() {
                        return v;
                    }
                    thread::sleep(pause);
                    pause = (pause * 2).min(most);
                }
            }
            Patience::Signalled => {
                let mut v = self.outcome.value.lock().unwrap();
                while v.is_none() {
                    v = self.outcome.ready.wait(v).unwrap();
                }
                v.take().unwrap()
            }
        }
    }
}

const BATCHES: u32 = 200;

type Job = Box<dyn FnOnce() + Send>;

struct Helpers {
    tx: Vec<Sender<Job>>,
    threads: Vec<JoinHandle<()>>,
    patience: Patience,
}

impl Helpers {
    fn start(names: &[&str], patience: Patience) -> Helpers {
        let mut h = Helpers { tx: Vec::new(), threads: Vec::new(), patience };
        for n in names {
            let (tx, rx) = channel::<Job>();
            h.tx.push(tx);
            h.threads.push(
                thread::Builder::new()
                    .name(n.to_string())
                    .spawn(move || rx.into_iter().for_each(|job| job()))
                    .unwrap(),
            );
        }
        h
    }

    fn submit<T: Send + 'static>(&self, who: usize, f: impl FnOnce() -> T + Send + 'static) -> Ticket<T> {
        let outcome = Arc::new(Outcome { value: Mutex::new(None), ready: Condvar::new() });
        let o = Arc::clone(&outcome);
        self.tx[who]
            .send(Box::new(move || {
                let v = f();
                *o.value.lock().unwrap() = Some(v);
                o.ready.notify_one();
            }))
            .expect("helper gone");
        Ticket { outcome, patience: self.patience }
    }

    fn stop(self) {
        drop(self.tx);
        for t in self.threads {
            t.join().unwrap();
        }
    }
}

fn seal_of(account: u32, peer: u32, amount: i64) -> u64 {
    let mut h = 0xcbf29ce484222325u64;
    for round in 0..24u64 {
        for part in [account as u64, peer as u64, amount as u64, round] {
            for b in part.to_le_bytes() {
                h = (h ^ b as u64).wrapping_mul(0x100000001b3);
            }
        }
    }
    h
}

fn validate(batch: Vec<Trade>) -> Vec<Trade> {
    batch.into_iter().filter(|t| t.amount != 0 && t.seal == seal_of(t.account, t.peer, t.amount)).collect()
}

fn net_positions(trades: &[Trade]) -> Vec<(u32, i64)> {
    let mut net: HashMap<u32, i64> = HashMap::new();
    for t in trades {
        *net.entry(t.account).or_insert(0) -= t.amount;
        *net.entry(t.peer).or_insert(0) += t.amount;
    }
    let mut v: Vec<_> = net.into_iter().filter(|&(_, a)| a != 0).collect();
    v.sort_unstable();
    v
}

fn post_positions(net: Vec<(u32, i64)>) -> u64 {
    net.iter().fold(0u64, |d, &(account, amount)| d.rotate_left(5) ^ seal_of(account, 0, amount))
}

struct Clerk {
    helpers: Helpers,
    digest: u64,
}

impl Clerk {
    fn settle(&mut self, batch: Vec<Trade>) {
        let valid = self.helpers.submit(0, move || validate(batch)).wait();
        let net = self.helpers.submit(1, move || net_positions(&valid)).wait();
        let posted = self.helpers.submit(2, move || post_positions(net)).wait();
        self.digest = self.digest.wrapping_mul(31).wrapping_add(posted);
    }
}

fn incoming(batch: u32) -> Vec<Trade> {
    let mut x = batch.wrapping_mul(2654435761) | 1;
    (0..3000)
        .map(|_| {
            x ^= x << 13;
            x ^= x >> 17;
            x ^= x << 5;
            let (account, peer, amount) = (x % 2000, (x >> 8) % 2000, (x >> 4) as i64 % 90_000 - 20_000);
            Trade { account, peer, amount, seal: seal_of(account, peer, amount) ^ (x % 50 == 0) as u64 }
        })
        .collect()
}

fn main() {
    let mode = std::env::args().nth(1).unwrap_or_default();
    let patience = if mode == "fixed" {
        Patience::Signalled
    } else {
        Patience::Paced { first: Duration::from_millis(6), most: Duration::from_millis(40) }
    };
    let t0 = Instant::now();
    let mut clerk = Clerk { helpers: Helpers::start(&["validate", "net", "post"], patience), digest: 0 };
    for batch in 0..BATCHES {
        clerk.settle(incoming(batch));
    }
    let digest = clerk.digest;
    clerk.helpers.stop();
    println!("settled={} digest={:016x} seconds={:.3}", BATCHES, digest, t0.elapsed().as_secs_f64());
}
