// SPDX-License-Identifier: Apache-2.0
// auditlog: routes audit events of many tenants to writer lanes; each lane seals
// blocks (checksum + slow "device" acknowledgement).
use std::collections::HashMap;
use std::sync::mpsc::{sync_channel, Receiver, SyncSender};
use std::thread;
use std::time::{Duration, Instant};

#[derive(Clone)]
struct Event {
    tenant: u32,
    document: u32,
    body: String,
}

#[derive(Clone, Copy, PartialEq)]
enum Placement {
    Tenant,
    Document,
}

struct Lane {
    rx: Receiver<Event>,
    pending: Vec<Event>,
    per_tenant: HashMap<u32, u64>,
}

struct LaneReport {
    handled: u64,
    digest: u64,
}

fn mix(mut h: u64) -> u64 {
    h ^= h >> 33;
    h = h.wrapping_mul(0xff51afd7ed558ccd);
    h ^= h >> 33;
    h = h.wrapping_mul(0xc4ceb9fe1a85ec53);
    h ^ (h >> 33)
}

fn checksum(e: &Event) -> u64 {
    let mut h = e.tenant as u64 * 31 + e.document as u64;
    for round in 0..4u64 {
        for b in e.body.bytes() {
            h = (h ^ (b as u64 + round)).wrapping_mul(0x100000001b3);
        }
    }
    h
}

impl Lane {
    fn new(rx: Receiver<Event>) -> Self {
        Lane { rx, pending: Vec::with_capacity(16), per_tenant: HashMap::new() }
    }

    fn seal_block(&mut self) -> u64 {
        let mut d = 0u64;
        for e in self.pending.drain(..) {
            let c = checksum(&e);
            *self.per_tenant.entry(e.tenant).or_insert(0) += 1;
            d = d.wrapping_add(c);
        }
        device_ack();
        d
    }

    fn run_lane(mut self) -> LaneReport {
        let mut rep = LaneReport { handled: 0, digest: 0 };
        while let Ok(e) = self.rx.recv() {
            self.pending.push(e);
            rep.handled += 1;
            if self.pending.len() == 8 {
                rep.digest = rep.digest.wrapping_add(self.seal_block());
            }
        }
        if !self.pending.is_empty() {
            rep.digest = rep.digest.wrapping_add(self.seal_block());
        }
        rep
    }
}

// The device confirms a block after about 1.5 ms.
fn device_ack() {
    thread::sleep(Duration::from_micros(1500));
}

struct Router {
    lanes: Vec<SyncSender<Event>>,
    placement: Placement,
}

impl Router {
    fn lane_of(&self, e: &Event) -> usize {
        let key = match self.placement {
            Placement::Tenant => e.tenant as u64,
            Placement::Document => (e.tenant as u64) << 32 | e.document as u64,
        };
        (mix(key) % self.lanes.len() as u64) as usize
    }

    fn route(&self, e: Event) {
        let l = self.lane_of(&e);
        self.lanes[l].send(e).expect("lane closed");
    }
}

struct Traffic {
    x: u32,
}

impl Traffic {
    fn next(&mut self) -> u32 {
        self.x ^= self.x << 13;
        self.x ^= self.x >> 17;
        self.x ^= self.x << 5;
        self.x
    }

    fn event(&mut self) -> Event {
        let r = self.next();
        let tenant = if r % 100 < 88 { 7 } else { 100 + r % 50 };
        let document = self.next() % 4000;
        let body = format!("tenant={} doc={} action={} at={}", tenant, document, r % 9, self.next());
        Event { tenant, document, body }
    }
}

fn main() {
    let mode = std::env::args().nth(1).unwrap_or_default();
    let placement = if mode == "fixed" { Placement::Document } else { Placement::Tenant };
    let t0 = Instant::now();
    let mut lanes = Vec::new();
    let mut handles = Vec::new();
    for i in 0..8 {
        let (tx, rx) = sync_channel(64);
        lanes.push(tx);
        handles.push(
            thread::Builder::new()
                .name(format!("lane-{}", i))
                .spawn(move || Lane::new(rx).run_lane())
                .unwrap(),
        );
    }
    let router = Router { lanes, placement };
    let mut traffic = Traffic { x: 2463534242 };
    for _ in 0..13000 {
        router.route(traffic.event());
    }
    drop(router);
    let mut digest = 0u64;
    let mut handled = 0;
    for h in handles {
        let r = h.join().unwrap();
        digest = digest.wrapping_add(r.digest);
        handled += r.handled;
    }
    println!("events={} checksum={} seconds={:.3}", handled, digest, t0.elapsed().as_secs_f64());
}
