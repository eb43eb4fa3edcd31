// SPDX-License-Identifier: Apache-2.0
// Trace collector: receives blocks of span lines from agents, aggregates the
// latency per operation and keeps the top span of notable blocks for the drill-down page.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::mpsc::{sync_channel, Receiver, SyncSender};
use std::sync::Arc;
use std::time::Instant;

const BLOCK_BYTES: usize = 64 * 1024;
const BLOCKS: u32 = 26_000;
const EXEMPLAR_MICROS: u64 = 148_000;
const SERVICES: [&str; 8] = [
    "checkout", "search", "basket", "profile", "pricing", "inventory", "mailer", "gateway",
];
const ACTIONS: [&str; 6] = ["read", "list", "update", "render", "commit", "notify"];

struct Rng(u64);

impl Rng {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}

/// Stands for the network side: formats blocks as the agents send them.
struct Agent {
    rng: Rng,
    templates: Vec<Vec<u8>>,
}

impl Agent {
    fn new(seed: u64) -> Agent {
        let mut templates = Vec::with_capacity(SERVICES.len() * ACTIONS.len());
        for s in SERVICES {
            for a in ACTIONS {
                templates.push(format!("{s}.{a} host=web17 region=eu1 status=200 us=").into_bytes());
            }
        }
        Agent { rng: Rng(seed | 1), templates }
    }

    fn push_number(out: &mut Vec<u8>, mut v: u64) {
        let mut digits = [0u8; 20];
        let mut at = digits.len();
        loop {
            at -= 1;
            digits[at] = b'0' + (v % 10) as u8;
            v /= 10;
            if v == 0 {
                break;
            }
        }
        out.extend_from_slice(&digits[at..]);
    }

    fn block(&mut self) -> Arc<Vec<u8>> {
        let mut out = Vec::with_capacity(BLOCK_BYTES);
        while out.len() + 128 < BLOCK_BYTES {
            let r = self.rng.next();
            let t = &self.templates[(r % self.templates.len() as u64) as usize];
            out.extend_from_slice(t);
            let base = 200 + (r >> 20) % 4000;
            let us = if (r >> 40) % 97 == 0 { base * 37 } else { base };
            Self::push_number(&mut out, us);
            out.extend_from_slice(b" id=");
            Self::push_number(&mut out, r >> 12);
            out.push(b'\n');
        }
        Arc::new(out)
    }
}

#[derive(Clone, Copy)]
struct Span<'a> {
    operation: &'a [u8],
    micros: u64,
    id: u64,
}

fn number(digits: &[u8]) -> u64 {
    digits
        .iter()
        .take_while(|b| b.is_ascii_digit())
        .fold(0, |v, &b| v * 10 + (b - b'0') as u64)
}

fn parse_span(line: &[u8]) -> Option<Span<'_>> {
    let mut fields = line.split(|&b| b == b' ');
    let operation = fields.next()?;
    let (mut micros, mut id) = (None, None);
    for f in fields {
        if let Some(v) = f.strip_prefix(b"us=") {
            micros = Some(number(v));
        } else if let Some(v) = f.strip_prefix(b"id=") {
            id = Some(number(v));
        }
    }
    Some(Span { operation, micros: micros?, id: id? })
}

#[derive(Default)]
struct Histogram {
    buckets: [u64; 32],
    count: u64,
    sum: u64,
}

impl Histogram {
    fn add(&mut self, micros: u64) {
        let b = (64 - micros.leading_zeros()).min(31) as usize;
        self.buckets[b] += 1;
        self.count += 1;
        self.sum += micros;
    }
}

/// Text of the line that was chosen as the exemplar of its block.
enum LineText {
    Shared { block: Arc<Vec<u8>>, range: Range<usize> },
    Own(Box<[u8]>),
}

impl LineText {
    fn bytes(&self) -> &[u8] {
        match self {
            LineText::Shared { block, range } => &block[range.clone()],
            LineText::Own(b) => b,
        }
    }
}

struct Exemplar {
    micros: u64,
    id: u64,
    text: LineText,
}

struct Collector {
    own_text: bool,
    operations: HashMap<Box<[u8]>, Histogram>,
    exemplars: HashMap<u64, Vec<Exemplar>>,
    lines: u64,
}

impl Collector {
    fn new(own_text: bool) -> Collector {
        Collector {
            own_text,
            operations: HashMap::with_capacity(64),
            exemplars: HashMap::with_capacity(64),
            lines: 0,
        }
    }

    fn record(&mut self, span: &Span<'_>) {
        self.lines += 1;
        if let Some(h) = self.operations.get_mut(span.operation) {
            h.add(span.micros);
            return;
        }
        let mut h = Histogram::default();
        h.add(span.micros);
        self.operations.insert(span.operation.into(), h);
    }

    fn keep_exemplar(&mut self, block: &Arc<Vec<u8>>, range: Range<usize>, micros: u64, id: u64) {
        let text = if self.own_text {
            LineText::Own(block[range].into())
        } else {
            LineText::Shared { block: Arc::clone(block), range }
        };
        let band = (micros as f64).log2() as u64;
        self.exemplars.entry(band).or_default().push(Exemplar { micros, id, text });
    }

    fn ingest(&mut self, block: Arc<Vec<u8>>) {
        let mut start = 0;
        let mut top: Option<(u64, u64, Range<usize>)> = None;
        while let Some(len) = block[start..].iter().position(|&b| b == b'\n') {
            let range = start..start + len;
            start += len + 1;
            let span = match parse_span(&block[range.clone()]) {
                Some(span) => span,
                None => {
                    continue;
                }
            };
            self.record(&span);
            if top.as_ref().map_or(true, |t| span.micros > t.0) {
                top = Some((span.micros, span.id, range));
            }
        }
        if let Some((micros, id, range)) = top.filter(|t| t.0 >= EXEMPLAR_MICROS) {
            self.keep_exemplar(&block, range, micros, id);
        }
    }

    fn digest(&self) -> u64 {
        let mut total = 0u64;
        for (op, h) in &self.operations {
            let mut x = fnv(op) ^ h.count ^ h.sum.rotate_left(17);
            for b in h.buckets {
                x = x.wrapping_mul(0x100000001b3) ^ b;
            }
            total = total.wrapping_add(x);
        }
        for list in self.exemplars.values() {
            for e in list {
                total = total.wrapping_add(fnv(e.text.bytes()) ^ e.micros ^ e.id);
            }
        }
        total
    }
}

fn fnv(data: &[u8]) -> u64 {
    data.iter()
        .fold(0xcbf29ce484222325, |h, &b| (h ^ b as u64).wrapping_mul(0x100000001b3))
}

fn feed(tx: SyncSender<Arc<Vec<u8>>>) {
    let mut agent = Agent::new(0x7ace5eed);
    for _ in 0..BLOCKS {
        if tx.send(agent.block()).is_err() {
            return;
        }
    }
}

fn collect(rx: Receiver<Arc<Vec<u8>>>, own_text: bool) -> Collector {
    let mut c = Collector::new(own_text);
    for block in rx {
        c.ingest(block);
    }
    c
}

fn resident_mb() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    status
        .lines()
        .find_map(|l| l.strip_prefix("VmRSS:"))
        .and_then(|v| v.split_whitespace().next())
        .and_then(|kb| kb.parse::<u64>().ok())
        .map_or(0, |kb| kb / 1024)
}

fn main() {
    let own_text = std::env::args().nth(1).as_deref() == Some("fixed");
    let t0 = Instant::now();
    let (tx, rx) = sync_channel(16);
    let feeder = std::thread::spawn(move || feed(tx));
    let collector = collect(rx, own_text);
    feeder.join().expect("feeder");
    let seconds = t0.elapsed().as_secs_f64();
    let kept: usize = collector.exemplars.values().map(Vec::len).sum();
    println!(
        "lines={} exemplars={} digest={:016x} resident_mb={} seconds={:.3}",
        collector.lines,
        kept,
        collector.digest(),
        resident_mb(),
        seconds
    );
}
