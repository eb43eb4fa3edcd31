// SPDX-License-Identifier: Apache-2.0
// seatmap: seat reservation for a railway. Every coach has a lock of its own, held for a
// few instructions; choosing seats and checking tickets is done outside of it.
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Instant;

const COACHES: usize = 2400;
const SEATS: usize = 80;
const LEGS: usize = 20;

struct Coach {
    // one bit for every leg of the journey
    taken: [u32; SEATS],
    revenue: u64,
}

struct Train {
    coaches: Vec<Mutex<Coach>>,
    refused: AtomicU64,
}

#[derive(Clone, Copy)]
struct Wish {
    coach: usize,
    from: usize,
    to: usize,
    window: bool,
    traveller: u64,
}

struct Ticket {
    coach: usize,
    seat: usize,
    legs: u32,
    fare: u64,
    code: u64,
}

impl Train {
    fn new() -> Train {
        Train {
            coaches: (0..COACHES).map(|_| Mutex::new(Coach { taken: [0; SEATS], revenue: 0 })).collect(),
            refused: AtomicU64::new(0),
        }
    }

    fn reserve(&self, w: &Wish, order: &[u8; SEATS], fare: u64) -> Option<(usize, u32)> {
        let legs = ((1u32 << w.to) - 1) & !((1u32 << w.from) - 1);
        let mut c = self.coaches[w.coach].lock().unwrap();
        let seat = order.iter().map(|&s| s as usize).find(|&s| c.taken[s] & legs == 0)?;
        c.taken[seat] |= legs;
        c.revenue += fare;
        Some((seat, legs))
    }

    fn cancel(&self, t: &Ticket) {
        let mut c = self.coaches[t.coach].lock().unwrap();
        c.taken[t.seat] &= !t.legs;
        c.revenue -= t.fare;
    }
}

struct Agency {
    train: Arc<Train>,
    x: u64,
    held: Vec<Ticket>,
    next_drop: usize,
    sold: u64,
    codes: u64,
}

impl Agency {
    fn new(train: Arc<Train>, seed: u64) -> Agency {
        Agency { train, x: seed, held: Vec::with_capacity(20_000), next_drop: 0, sold: 0, codes: 0 }
    }

    fn roll(&mut self, n: u64) -> u64 {
        self.x ^= self.x << 13;
        self.x ^= self.x >> 7;
        self.x ^= self.x << 17;
        (self.x >> 16) % n
    }

    fn wish(&mut self) -> Wish {
        let from = self.roll(LEGS as u64 - 1) as usize;
        Wish {
            coach: self.roll(COACHES as u64) as usize,
            from,
            to: from + 1 + self.roll((LEGS - from) as u64) as usize,
            window: self.roll(2) == 0,
            traveller: self.x,
        }
    }

    // Seats in the order this traveller likes them: window or aisle first, from some row on.
    fn preference(w: &Wish) -> [u8; SEATS] {
        const WINDOW: [usize; 2] = [0, 3];
        const AISLE: [usize; 2] = [1, 2];
        let start = (w.traveller >> 24) as usize % (SEATS / 4);
        let mut order = [0u8; SEATS];
        for k in 0..SEATS / 2 {
            let row = (start + k / 2) % (SEATS / 4) * 4;
            let (first, then) = if w.window { (WINDOW, AISLE) } else { (AISLE, WINDOW) };
            order[k] = (row + first[k % 2]) as u8;
            order[SEATS / 2 + k] = (row + then[k % 2]) as u8;
        }
        order
    }

    fn ticket_code(t: &Ticket, traveller: u64) -> u64 {
        let mut h = traveller ^ 0xcbf29ce484222325;
        for round in 0..40u64 {
            for v in [t.coach as u64, t.seat as u64, t.legs as u64, t.fare, round] {
                h = (h ^ v).wrapping_mul(0x100000001b3);
                h ^= h >> 29;
            }
        }
        h
    }

    fn sell(&mut self) {
        let w = self.wish();
        let order = Agency::preference(&w);
        let fare = (w.to - w.from) as u64 * 7 + w.window as u64 * 3;
        match self.train.reserve(&w, &order, fare) {
            None => {
                self.train.refused.fetch_add(1, Ordering::Relaxed);
            }
            Some((seat, legs)) => {
                let mut t = Ticket { coach: w.coach, seat, legs, fare, code: 0 };
                t.code = Agency::ticket_code(&t, w.traveller);
                self.codes ^= t.code;
                self.sold += 1;
                self.keep(t);
            }
        }
    }

    // Older reservations lapse.
    fn keep(&mut self, t: Ticket) {
        if self.held.len() < 20_000 {
            self.held.push(t);
            return;
        }
        let i = self.next_drop;
        self.next_drop = (i + 1) % self.held.len();
        let old = std::mem::replace(&mut self.held[i], t);
        self.train.cancel(&old);
    }
}

fn main() {
    let t0 = Instant::now();
    let train = Arc::new(Train::new());
    let agencies: Vec<_> = (0..4u64)
        .map(|a| {
            let t = Arc::clone(&train);
            thread::Builder::new()
                .name(format!("agency-{}", a))
                .spawn(move || {
                    let mut ag = Agency::new(t, 0x9e3779b97f4a7c15 ^ a << 9);
                    for _ in 0..3_600_000 {
                        ag.sell();
                    }
                    ag.sold
                })
                .unwrap()
        })
        .collect();
    let sold: u64 = agencies.into_iter().map(|a| a.join().unwrap()).sum();
    let refused = train.refused.load(Ordering::Relaxed);
    let revenue: u64 = train.coaches.iter().map(|c| c.lock().unwrap().revenue).sum();
    println!("asked={} held_fares={} seconds={:.3}", sold + refused, revenue > 0, t0.elapsed().as_secs_f64());
}
