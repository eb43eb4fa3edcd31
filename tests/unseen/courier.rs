// SPDX-License-Identifier: Apache-2.0
// courier: hands parcels over to a carrier. Labels are composed beforehand; a few courier
// threads take parcels from the tray, register them with the carrier and print the label.
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

struct Parcel {
    number: u32,
    weight_g: u32,
    address: String,
}

#[derive(Default)]
struct Tray {
    parcels: VecDeque<Parcel>,
}

impl Tray {
    // Heavy parcels first, as long as there are any.
    fn next(&mut self) -> Option<Parcel> {
        let near = self.parcels.iter().take(8).position(|p| p.weight_g > 9000);
        match near {
            Some(i) => self.parcels.remove(i),
            None => self.parcels.pop_front(),
        }
    }
}

trait Carrier: Send + Sync {
    fn register(&self, p: &Parcel) -> u64;
}

// The carrier's system takes three milliseconds for a registration.
struct RemoteCarrier;

impl Carrier for RemoteCarrier {
    fn register(&self, p: &Parcel) -> u64 {
        thread::sleep(Duration::from_micros(3000));
        (p.number as u64) << 20 | p.weight_g as u64
    }
}

struct Label {
    bits: Vec<u64>,
}

impl Label {
    fn compose(tracking: u64, address: &str) -> Label {
        let mut bits = vec![0u64; 32 * 24];
        for (i, c) in address.bytes().enumerate() {
            for row in 0..24usize {
                let glyph = (c as u64).wrapping_mul(0x9e3779b97f4a7c15) >> (row % 40);
                bits[row * 32 + i % 32] ^= glyph & 0xff;
            }
        }
        for (k, b) in bits.iter_mut().enumerate() {
            *b ^= tracking.rotate_left(k as u32 % 64);
        }
        Label { bits }
    }

    // Error-correcting code of the two-dimensional bar code.
    fn seal(&self) -> u64 {
        let mut r = [0u64; 16];
        for round in 0..260u64 {
            for &b in &self.bits {
                let feed = b ^ r[15] ^ round;
                for k in (1..16).rev() {
                    r[k] = r[k - 1] ^ (feed >> k).wrapping_mul(0x1d);
                }
                r[0] = feed.wrapping_mul(0x100000001b3);
            }
        }
        r.iter().fold(0, |a, b| a.wrapping_mul(31).wrapping_add(*b))
    }
}

struct Courier {
    tray: Arc<Mutex<Tray>>,
    carrier: Arc<dyn Carrier>,
    digest: u64,
    delivered: u32,
}

impl Courier {
    fn hand_over(&mut self, p: &Parcel) {
        let tracking = self.carrier.register(p);
        let label = Label::compose(tracking, &p.address);
        self.digest = self.digest.wrapping_add(label.seal());
        self.delivered += 1;
    }

    fn work_through(mut self) -> Self {
        let tray = Arc::clone(&self.tray);
        while let Some(p) = tray.lock().unwrap().next() {
            self.hand_over(&p);
        }
        self
    }

    fn take(&self) -> Option<Parcel> {
        self.tray.lock().unwrap().next()
    }

    fn work_through_briefly(mut self) -> Self {
        while let Some(p) = self.take() {
            self.hand_over(&p);
        }
        self
    }
}

fn fill_tray(n: u32) -> Tray {
    let mut t = Tray::default();
    let mut x = 12345u32;
    for number in 0..n {
        x = x.wrapping_mul(1664525).wrapping_add(1013904223);
        t.parcels.push_back(Parcel {
            number,
            weight_g: 100 + (x >> 10) % 12000,
            address: format!("{} Harbour Street {}, {:05} Town {}", number, x % 300, x % 99999, x % 71),
        });
    }
    t
}

fn main() {
    let mode = std::env::args().nth(1).unwrap_or_default();
    let brief = mode == "fixed";
    let t0 = Instant::now();
    let tray = Arc::new(Mutex::new(fill_tray(900)));
    let carrier: Arc<dyn Carrier> = Arc::new(RemoteCarrier);
    let threads: Vec<_> = (0..5)
        .map(|i| {
            let c = Courier { tray: Arc::clone(&tray), carrier: Arc::clone(&carrier), digest: 0, delivered: 0 };
            thread::Builder::new()
                .name(format!("courier-{}", i))
                .spawn(move || if brief { c.work_through_briefly() } else { c.work_through() })
                .unwrap()
        })
        .collect();
    let (mut digest, mut delivered) = (0u64, 0);
    for t in threads {
        let c = t.join().unwrap();
        digest = digest.wrapping_add(c.digest);
        delivered += c.delivered;
    }
    println!("delivered={} digest={:016x} seconds={:.3}", delivered, digest, t0.elapsed().as_secs_f64());
}
