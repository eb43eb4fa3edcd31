// SPDX-License-Identifier: Apache-2.0
// flagserve: decides feature flags for requests of many users. The rule book may be
// replaced at any time; a request is judged by one consistent edition of it.
use std::collections::BTreeMap;
use std::sync::{Arc, RwLock};
use std::thread;
use std::time::Instant;

#[derive(Clone)]
enum Clause {
    Country(Vec<String>),
    MinVersion(u32),
    Share(u32),
}

#[derive(Clone)]
struct Rule {
    name: String,
    clauses: Vec<Clause>,
    variants: Vec<String>,
}

#[derive(Clone)]
struct RuleBook {
    edition: u32,
    rules: BTreeMap<String, Rule>,
}

struct Request {
    user: u64,
    country: &'static str,
    version: u32,
    page: u32,
}

trait BookSource: Send + Sync {
    fn judge(&self, r: &Request) -> u64;
    fn replace(&self, b: RuleBook);
}

// Readers take their own copy, so that the lock is held for a moment only.
struct CopySource {
    book: RwLock<RuleBook>,
}

impl CopySource {
    fn current(&self) -> RuleBook {
        self.book.read().unwrap().clone()
    }
}

impl BookSource for CopySource {
    fn judge(&self, r: &Request) -> u64 {
        judge_with(&self.current(), r)
    }
    fn replace(&self, b: RuleBook) {
        *self.book.write().unwrap() = b;
    }
}

struct SharedSource {
    book: RwLock<Arc<RuleBook>>,
}

impl SharedSource {
    fn current(&self) -> Arc<RuleBook> {
        Arc::clone(&self.book.read().unwrap())
    }
}

impl BookSource for SharedSource {
    fn judge(&self, r: &Request) -> u64 {
        judge_with(&self.current(), r)
    }
    fn replace(&self, b: RuleBook) {
        *self.book.write().unwrap() = Arc::new(b);
    }
}

const COUNTRIES: [&str; 8] = ["de", "fr", "it", "es", "pl", "nl", "se", "at"];

fn fingerprint(user: u64, text: &str) -> u64 {
    let mut h = user ^ 0xcbf29ce484222325;
    for _ in 0..6 {
        for b in text.bytes() {
            h = (h ^ b as u64).wrapping_mul(0x100000001b3);
            h ^= h >> 32;
        }
    }
    h
}

impl Clause {
    fn holds(&self, rule: &Rule, r: &Request) -> bool {
        match self {
            Clause::Country(list) => list.iter().any(|c| c == r.country),
            Clause::MinVersion(v) => r.version >= *v,
            Clause::Share(p) => (fingerprint(r.user, &rule.name) % 100) < *p as u64,
        }
    }
}

fn judge_with(book: &RuleBook, r: &Request) -> u64 {
    debug_assert!(book.edition > 0);
    let mut digest = book.rules.len() as u64;
    for (name, rule) in &book.rules {
        if !rule.clauses.iter().all(|c| c.holds(rule, r)) {
            continue;
        }
        let pick = fingerprint(r.user ^ r.page as u64, name) as usize % rule.variants.len();
        digest = digest.rotate_left(7) ^ fingerprint(r.user, &rule.variants[pick]);
    }
    digest
}

fn write_book(edition: u32) -> RuleBook {
    let mut rules = BTreeMap::new();
    for i in 0..70u32 {
        let name = format!("feature.area{}.switch-{:03}", i % 9, i);
        let clauses = vec![
            Clause::Country((0..4).map(|k| COUNTRIES[((i + k * 3) % 8) as usize].to_string()).collect()),
            Clause::MinVersion(100 + i % 40),
            Clause::Share(30 + i % 60),
        ];
        let variants = (0..2 + i % 3).map(|v| format!("variant-{}-of-{}", v, i)).collect();
        rules.insert(name.clone(), Rule { name, clauses, variants });
    }
    RuleBook { edition, rules }
}

fn serve(source: &dyn BookSource, worker: u64, requests: u32) -> u64 {
    let mut digest = 0u64;
    let mut x = worker * 7919 + 1;
    for n in 0..requests {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        let r = Request {
            user: x % 50_000,
            country: COUNTRIES[(x >> 40) as usize % 8],
            version: 90 + (x >> 20) as u32 % 80,
            page: n % 12,
        };
        digest = digest.wrapping_mul(31).wrapping_add(source.judge(&r));
    }
    digest
}

fn main() {
    let mode = std::env::args().nth(1).unwrap_or_default();
    let source: Arc<dyn BookSource> = if mode == "fixed" {
        Arc::new(SharedSource { book: RwLock::new(Arc::new(write_book(1))) })
    } else {
        Arc::new(CopySource { book: RwLock::new(write_book(1)) })
    };
    let t0 = Instant::now();
    let workers: Vec<_> = (0..2u64)
        .map(|w| {
            let s = Arc::clone(&source);
            thread::spawn(move || serve(&*s, w, 110_000))
        })
        .collect();
    for edition in 2..12 {
        source.replace(write_book(edition));
        thread::sleep(std::time::Duration::from_millis(40));
    }
    let digest = workers.into_iter().fold(0u64, |a, w| a ^ w.join().unwrap());
    println!("digest={:016x} seconds={:.3}", digest, t0.elapsed().as_secs_f64());
}
