// SPDX-License-Identifier: Apache-2.0
// gateway: device gateway, decodes frames of short-lived device sessions.
use std::cell::RefCell;
use std::fs;
use std::rc::{Rc, Weak};
use std::thread;
use std::time::{Duration, Instant};

struct Session {
    device: u32,
    scratch: RefCell<Vec<u8>>,
    retry: RefCell<Option<Retry>>,
    frames: RefCell<u64>,
}

enum Owner {
    Shared(Rc<Session>),
    Back(Weak<Session>),
}

struct Retry {
    owner: Owner,
    attempts: u32,
}

impl Retry {
    fn device(&self) -> u32 {
        match &self.owner {
            Owner::Shared(s) => s.device,
            Owner::Back(w) => w.upgrade().map(|s| s.device).unwrap_or(0),
        }
    }
}

struct Gateway {
    x: u32,
    back_refs: bool,
    retries: u64,
    digest: u64,
}

#[derive(Debug)]
enum FrameError {
    Parity(u32),
}

impl Gateway {
    fn rnd(&mut self) -> u32 {
        self.x ^= self.x << 13;
        self.x ^= self.x >> 17;
        self.x ^= self.x << 5;
        self.x
    }

    fn open_session(&mut self) -> Rc<Session> {
        let device = self.rnd() % 100_000;
        let mut scratch = Vec::with_capacity(48 * 1024);
        scratch.resize(48 * 1024, (device & 0xff) as u8);
        Rc::new(Session {
            device,
            scratch: RefCell::new(scratch),
            retry: RefCell::new(None),
            frames: RefCell::new(0),
        })
    }

    fn decode_frame(&mut self, s: &Rc<Session>) -> Result<u64, FrameError> {
        let seed = self.rnd();
        let mut buf = s.scratch.borrow_mut();
        let start = seed as usize % 40_000;
        let mut h = seed as u64;
        for b in &mut buf[start..start + 512] {
            *b = b.wrapping_add((h >> 7) as u8);
            h = h.wrapping_mul(6364136223846793005).wrapping_add(*b as u64);
        }
        if seed % 97 == 0 {
            return Err(FrameError::Parity(seed));
        }
        *s.frames.borrow_mut() += 1;
        Ok(h)
    }

    // Called for damaged frames: remember the session so that the frame can be asked for again.
    fn schedule_retry(&mut self, s: &Rc<Session>, e: FrameError) {
        let FrameError::Parity(code) = e;
        let owner = if self.back_refs { Owner::Back(Rc::downgrade(s)) } else { Owner::Shared(s.clone()) };
        let mut slot = s.retry.borrow_mut();
        let attempts = slot.as_ref().map_or(0, |r| r.attempts) + 1;
        let r = Retry { owner, attempts };
        self.digest = self.digest.wrapping_mul(31).wrapping_add(r.device() as u64 + code as u64 + attempts as u64);
        *slot = Some(r);
        self.retries += 1;
    }

    fn serve_session(&mut self) {
        let s = self.open_session();
        for _ in 0..8 {
            match self.decode_frame(&s) {
                Ok(h) => self.digest ^= h,
                Err(e) => self.schedule_retry(&s, e),
            }
        }
        self.digest = self.digest.wrapping_add(*s.frames.borrow());
    }
}

fn resident_mb() -> u64 {
    let t = fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: u64 = t.split_whitespace().nth(1).and_then(|p| p.parse().ok()).unwrap_or(0);
    pages * 4096 / (1 << 20)
}

fn listener(id: u32, back_refs: bool, sessions: u32) -> (u64, u64) {
    let mut g = Gateway { x: 88172645 + id, back_refs, retries: 0, digest: 1 };
    let mut due = Instant::now();
    for i in 0..sessions {
        g.serve_session();
        if i % 20 == 19 {
            due += Duration::from_millis(2);
            if let Some(d) = due.checked_duration_since(Instant::now()) {
                thread::sleep(d);
            }
        }
    }
    (g.digest, g.retries)
}

fn main() {
    let mode = std::env::args().nth(1).unwrap_or_default();
    let back_refs = mode == "fixed";
    let t0 = Instant::now();
    let hs: Vec<_> = (0..2).map(|id| thread::spawn(move || listener(id, back_refs, 30_000))).collect();
    let (mut digest, mut retries) = (0u64, 0u64);
    for h in hs {
        let (d, r) = h.join().unwrap();
        digest = digest.wrapping_mul(131).wrapping_add(d);
        retries += r;
    }
    println!("retries={} resident_mb={}", retries, resident_mb());
    println!("checksum={} seconds={:.3}", digest, t0.elapsed().as_secs_f64());
}
