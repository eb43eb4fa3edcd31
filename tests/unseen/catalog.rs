// SPDX-License-Identifier: Apache-2.0
// catalog: product catalogue service; page requests render a listing, price updates trickle in.
use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

#[derive(Clone)]
struct Product {
    sku: u32,
    title: String,
    cents: u64,
}

#[derive(Default)]
struct Shelf {
    items: BTreeMap<u32, Arc<Product>>,
    updates: u64,
}

struct Catalog {
    shelf: Mutex<Shelf>,
    rendered: AtomicU64,
    copy_out: bool,
}

impl Catalog {
    fn new(copy_out: bool) -> Self {
        let mut s = Shelf::default();
        for sku in 0..5000u32 {
            let title = format!("Product {} of series {} with a reasonably long title", sku, sku % 77);
            s.items.insert(sku, Arc::new(Product { sku, title, cents: 100 + (sku as u64 * 37) % 90000 }));
        }
        Catalog { shelf: Mutex::new(s), rendered: AtomicU64::new(0), copy_out }
    }

    fn page(&self, from: u32, count: usize) -> u64 {
        if self.copy_out {
            let picked: Vec<Arc<Product>> = {
                let shelf = self.shelf.lock().unwrap();
                shelf.items.range(from..).take(count).map(|(_, p)| p.clone()).collect()
            };
            self.publish(render_listing(picked.iter()))
        } else {
            let shelf = self.shelf.lock().unwrap();
            let html = render_listing(shelf.items.range(from..).take(count).map(|(_, p)| p));
            self.publish(html)
        }
    }

    fn publish(&self, html: String) -> u64 {
        self.rendered.fetch_add(1, Ordering::Relaxed);
        html.bytes().fold(0u64, |h, b| h.wrapping_mul(31).wrapping_add(b as u64))
    }

    fn retitle(&self, sku: u32) {
        let mut shelf = self.shelf.lock().unwrap();
        shelf.updates += 1;
        if let Some(p) = shelf.items.get(&sku).cloned() {
            shelf.items.insert(sku, Arc::new(Product { cents: p.cents, ..(*p).clone() }));
        }
    }
}

fn escape(text: &str, out: &mut String) {
    for c in text.chars() {
        match c {
            '<' => out.push_str("&lt;"),
            '&' => out.push_str("&amp;"),
            _ => out.push(c),
        }
    }
}

fn render_listing<'a>(items: impl Iterator<Item = &'a Arc<Product>>) -> String {
    let mut html = String::with_capacity(16384);
    html.push_str("<ul>");
    for p in items {
        html.push_str("<li>");
        escape(&p.title, &mut html);
        let _ = write!(html, " <b>{}.{:02}</b> (#{}, vat {:.2})</li>", p.cents / 100, p.cents % 100, p.sku, p.cents as f64 * 0.0019);
    }
    html.push_str("</ul>");
    html
}

// Talking to the browser: the reader takes a moment before the next page.
fn visitor(cat: &Catalog, id: u32, pages: u32) -> u64 {
    let mut sum = 0u64;
    let mut x = 17 + id;
    for _ in 0..pages {
        x = x.wrapping_mul(1664525).wrapping_add(1013904223);
        sum = sum.wrapping_add(cat.page((x >> 8) % 4800, 120));
        if x >> 28 == 0 {
            thread::sleep(Duration::from_micros(300));
        }
    }
    sum
}

fn main() {
    let mode = std::env::args().nth(1).unwrap_or_default();
    let t0 = Instant::now();
    let cat = Arc::new(Catalog::new(mode == "fixed"));
    let handles: Vec<_> = (0..6u32)
        .map(|id| {
            let cat = cat.clone();
            thread::Builder::new().name(format!("visitor-{}", id)).spawn(move || visitor(&cat, id, 18000)).unwrap()
        })
        .collect();
    let feed = {
        let cat = cat.clone();
        thread::spawn(move || {
            for i in 0..300u32 {
                cat.retitle(i * 13 % 5000);
                thread::sleep(Duration::from_millis(2));
            }
        })
    };
    let mut sum = 0u64;
    for h in handles {
        sum = sum.wrapping_add(h.join().unwrap());
    }
    feed.join().unwrap();
    println!("pages={} checksum={} seconds={:.3}", cat.rendered.load(Ordering::Relaxed), sum, t0.elapsed().as_secs_f64());
}
