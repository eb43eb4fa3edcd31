// SPDX-License-Identifier: Apache-2.0
// glyphpool: rasterises the glyphs of a font at several sizes into coverage bitmaps. A
// loader feeds as many workers as there are cores through a bounded queue.
use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Instant;

#[derive(Clone, Copy)]
struct Curve {
    a: (f32, f32),
    b: (f32, f32),
    c: (f32, f32),
}

struct Outline {
    glyph: u32,
    sizes: [usize; 4],
    curves: Vec<Curve>,
}

struct Bounded<T> {
    state: Mutex<(VecDeque<T>, bool)>,
    some: Condvar,
    room: Condvar,
    limit: usize,
}

impl<T> Bounded<T> {
    fn new(limit: usize) -> Self {
        Bounded { state: Mutex::new((VecDeque::with_capacity(limit), false)), some: Condvar::new(), room: Condvar::new(), limit }
    }

    fn push(&self, v: T) {
        let mut s = self.state.lock().unwrap();
        while s.0.len() == self.limit {
            s = self.room.wait(s).unwrap();
        }
        s.0.push_back(v);
        drop(s);
        self.some.notify_one();
    }

    fn pop(&self) -> Option<T> {
        let mut s = self.state.lock().unwrap();
        loop {
            if let Some(v) = s.0.pop_front() {
                drop(s);
                self.room.notify_one();
                return Some(v);
            }
            if s.1 {
                return None;
            }
            s = self.some.wait(s).unwrap();
        }
    }

    fn close(&self) {
        self.state.lock().unwrap().1 = true;
        self.some.notify_all();
    }
}

fn point_on(c: &Curve, t: f32) -> (f32, f32) {
    let u = 1.0 - t;
    (
        u * u * c.a.0 + 2.0 * u * t * c.b.0 + t * t * c.c.0,
        u * u * c.a.1 + 2.0 * u * t * c.b.1 + t * t * c.c.1,
    )
}

// Scratch space that a worker keeps from glyph to glyph.
struct Rasteriser {
    edges: Vec<(f32, f32, f32, f32)>,
    cover: Vec<f32>,
    crossings: Vec<(f32, f32)>,
}

impl Rasteriser {
    fn new() -> Self {
        Rasteriser { edges: Vec::with_capacity(512), cover: Vec::new(), crossings: Vec::with_capacity(64) }
    }

    fn flatten(&mut self, o: &Outline) {
        self.edges.clear();
        for c in &o.curves {
            let mut p = c.a;
            for k in 1..=10 {
                let q = point_on(c, k as f32 / 10.0);
                self.edges.push((p.0, p.1, q.0, q.1));
                p = q;
            }
        }
    }

    fn fill(&mut self, size: usize) {
        const SUB: usize = 4;
        self.cover.clear();
        self.cover.resize(size * size, 0.0);
        for line in 0..size * SUB {
            let y = (line as f32 + 0.5) / (size * SUB) as f32;
            self.crossings.clear();
            for &(x0, y0, x1, y1) in &self.edges {
                if (y0 <= y) != (y1 <= y) {
                    let x = x0 + (y - y0) / (y1 - y0) * (x1 - x0);
                    self.crossings.push((x, if y0 < y1 { 1.0 } else { -1.0 }));
                }
            }
            self.crossings.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
            let row = &mut self.cover[line / SUB * size..][..size];
            for pair in self.crossings.chunks_exact(2) {
                let (from, to) = (pair[0].0 * size as f32, pair[1].0 * size as f32);
                for x in from.max(0.0) as usize..(to.ceil().max(0.0) as usize).min(size) {
                    let part = (to.min(x as f32 + 1.0) - from.max(x as f32)).max(0.0);
                    row[x] += part / SUB as f32;
                }
            }
        }
    }

    fn render(&mut self, o: &Outline) -> u64 {
        self.flatten(o);
        let mut h = o.glyph as u64;
        for size in o.sizes {
            self.fill(size);
            for (i, &c) in self.cover.iter().enumerate() {
                h = h.wrapping_mul(0x100000001b3) ^ ((c * 255.0) as u64) << (i % 8);
            }
        }
        h
    }
}

fn load_outline(glyph: u32, sizes: [usize; 4]) -> Outline {
    let mut x = glyph.wrapping_mul(2654435761) | 1;
    let mut unit = || {
        x ^= x << 13;
        x ^= x >> 17;
        x ^= x << 5;
        (x >> 8) as f32 / 16777216.0
    };
    let n = 8 + (glyph % 9) as usize;
    let corners: Vec<(f32, f32)> = (0..n)
        .map(|k| {
            let (a, r) = (k as f32 / n as f32 * 6.2831853, 0.2 + 0.28 * unit());
            (0.5 + r * a.cos(), 0.5 + r * a.sin())
        })
        .collect();
    let curves = (0..n)
        .map(|k| Curve { a: corners[k], b: (0.5 + 0.4 * (unit() - 0.5), 0.5 + 0.4 * (unit() - 0.5)), c: corners[(k + 1) % n] })
        .collect();
    Outline { glyph, sizes, curves }
}

fn main() {
    let t0 = Instant::now();
    let cores = thread::available_parallelism().map_or(2, |n| n.get());
    let queue = Arc::new(Bounded::<Outline>::new(cores * 8));
    let workers: Vec<_> = (0..cores)
        .map(|i| {
            let q = Arc::clone(&queue);
            thread::Builder::new()
                .name(format!("raster-{}", i))
                .spawn(move || {
                    let mut r = Rasteriser::new();
                    let (mut sum, mut done) = (0u64, 0u32);
                    while let Some(o) = q.pop() {
                        sum = sum.wrapping_add(r.render(&o));
                        done += 1;
                    }
                    (sum, done)
                })
                .unwrap()
        })
        .collect();
    for glyph in 0..GLYPHS {
        queue.push(load_outline(glyph, [48, 96, 160, 256]));
    }
    queue.close();
    let (mut sum, mut done) = (0u64, 0);
    for w in workers {
        let (s, d) = w.join().unwrap();
        sum = sum.wrapping_add(s);
        done += d;
    }
    println!("glyphs={} sum={:016x} seconds={:.3}", done, sum, t0.elapsed().as_secs_f64());
}

const GLYPHS: u32 = 12000;
