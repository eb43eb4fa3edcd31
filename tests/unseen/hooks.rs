// SPDX-License-Identifier: Apache-2.0
// hooks: evaluates webhook subscriptions for every incoming event and signs the payloads.
use std::sync::mpsc::{channel, Sender};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Instant;

#[derive(Clone)]
struct Subscription {
    id: u32,
    secret: [u8; 32],
    filter: String,
}

struct Incoming {
    id: u32,
    topic: String,
    body: Vec<u8>,
}

struct Delivery {
    event: u32,
    subscription: u32,
    signature: u64,
}

fn sign(secret: &[u8], body: &[u8]) -> u64 {
    let mut h: u64 = 0xcbf29ce484222325;
    for chunk in [secret, body, secret] {
        for &b in chunk {
            h = (h ^ b as u64).wrapping_mul(0x100000001b3);
            h = h.rotate_left(5);
        }
    }
    h
}

fn matches(filter: &str, topic: &str) -> bool {
    match filter.strip_suffix('*') {
        Some(prefix) => topic.starts_with(prefix),
        None => filter == topic,
    }
}

fn build_delivery(s: &Subscription, e: &Incoming) -> Option<Delivery> {
    if !matches(&s.filter, &e.topic) {
        return None;
    }
    Some(Delivery { event: e.id, subscription: s.id, signature: sign(&s.secret, &e.body) })
}

trait Dispatch {
    fn dispatch(&mut self, s: &Arc<Subscription>, e: &Arc<Incoming>);
    fn finish_event(&mut self) {}
    fn close(&mut self) {}
}

struct Direct {
    out: Sender<Delivery>,
    open: Vec<thread::JoinHandle<()>>,
}

impl Dispatch for Direct {
    fn dispatch(&mut self, s: &Arc<Subscription>, e: &Arc<Incoming>) {
        let (s, e, out) = (s.clone(), e.clone(), self.out.clone());
        self.open.push(thread::spawn(move || {
            if let Some(d) = build_delivery(&s, &e) {
                let _ = out.send(d);
            }
        }));
    }
    fn finish_event(&mut self) {
        for h in self.open.drain(..) {
            h.join().unwrap();
        }
    }
}

struct Crew {
    tx: Option<Sender<(Arc<Subscription>, Arc<Incoming>)>>,
    members: Vec<thread::JoinHandle<()>>,
}

impl Crew {
    fn new(n: usize, out: Sender<Delivery>) -> Self {
        let (tx, rx) = channel::<(Arc<Subscription>, Arc<Incoming>)>();
        let rx = Arc::new(Mutex::new(rx));
        let members = (0..n)
            .map(|_| {
                let (rx, out) = (rx.clone(), out.clone());
                thread::spawn(move || loop {
                    let next = rx.lock().unwrap().recv();
                    match next {
                        Ok((s, e)) => {
                            if let Some(d) = build_delivery(&s, &e) {
                                let _ = out.send(d);
                            }
                        }
                        Err(_) => return,
                    }
                })
            })
            .collect();
        Crew { tx: Some(tx), members }
    }
}

impl Dispatch for Crew {
    fn dispatch(&mut self, s: &Arc<Subscription>, e: &Arc<Incoming>) {
        self.tx.as_ref().unwrap().send((s.clone(), e.clone())).unwrap();
    }
    fn close(&mut self) {
        self.tx = None;
        for m in self.members.drain(..) {
            m.join().unwrap();
        }
    }
}

fn main() {
    let mode = std::env::args().nth(1).unwrap_or_default();
    let t0 = Instant::now();
    let topics = ["order.created", "order.paid", "user.created", "user.deleted"];
    let subs: Vec<Arc<Subscription>> = (0..20u32)
        .map(|i| {
            let mut secret = [0u8; 32];
            for (k, b) in secret.iter_mut().enumerate() {
                *b = (i * 31 + k as u32 * 7) as u8;
            }
            let filter = if i % 3 == 0 { "order.*".to_string() } else { topics[i as usize % 4].to_string() };
            Arc::new(Subscription { id: i, secret, filter })
        })
        .collect();

    let (out, collected) = channel::<Delivery>();
    let mut dispatcher: Box<dyn Dispatch> = if mode == "fixed" {
        Box::new(Crew::new(2, out))
    } else {
        Box::new(Direct { out, open: Vec::new() })
    };
    for id in 0..3600u32 {
        let body: Vec<u8> = (0..3000u32).map(|k| (id.wrapping_mul(k + 17) >> 3) as u8).collect();
        let e = Arc::new(Incoming { id, topic: topics[id as usize % 4].to_string(), body });
        for s in &subs {
            dispatcher.dispatch(s, &e);
        }
        dispatcher.finish_event();
    }
    dispatcher.close();
    drop(dispatcher);
    let (mut n, mut sum) = (0u64, 0u64);
    for d in collected {
        n += 1;
        sum = sum.wrapping_add(d.signature ^ ((d.event as u64) << 20) ^ d.subscription as u64);
    }
    println!("deliveries={} checksum={} seconds={:.3}", n, sum, t0.elapsed().as_secs_f64());
}
