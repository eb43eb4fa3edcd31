// SPDX-License-Identifier: Apache-2.0
// Order enrichment: a batch job that joins order lines with the master data
// service over TCP, computes tax and freight, and builds the invoice text.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::Instant;

const PRODUCTS: u32 = 40_000;
const ORDERS: u32 = 11_000;
const BATCH: usize = 250;

#[derive(Clone, Debug)]
struct Product {
    id: u32,
    name: String,
    cents: u64,
    grams: u64,
    tax_class: u8,
}

fn mix(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d049bb133111eb);
    x ^ (x >> 31)
}

// ---------------------------------------------------------------- service

/// The master data service: answers `P id [id ...]` with one line per id.
struct MasterData {
    products: Vec<Product>,
}

impl MasterData {
    fn load() -> MasterData {
        let products = (0..PRODUCTS)
            .map(|id| {
                let r = mix(id as u64 + 1);
                Product {
                    id,
                    name: format!("article-{:05}-{}", id, ["red", "blue", "oak", "steel"][(r % 4) as usize]),
                    cents: 150 + (r >> 8) % 20_000,
                    grams: 50 + (r >> 30) % 5_000,
                    tax_class: ((r >> 50) % 3) as u8,
                }
            })
            .collect();
        MasterData { products }
    }

    fn answer(&self, ids: &str, out: &mut String) -> Option<()> {
        for id in ids.split_ascii_whitespace() {
            let p = self.products.get(id.parse::<usize>().ok()?)?;
            writeln!(out, "{}|{}|{}|{}|{}", p.id, p.name, p.cents, p.grams, p.tax_class).ok()?;
        }
        Some(())
    }

    fn serve(&self, stream: TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let mut input = BufReader::new(stream.try_clone()?);
        let mut output = stream;
        let mut line = String::new();
        let mut reply = String::new();
        loop {
            line.clear();
            if input.read_line(&mut line)? == 0 {
                return Ok(());
            }
            reply.clear();
            let known = line.strip_prefix("P ").and_then(|ids| self.answer(ids, &mut reply));
            if known.is_none() {
                reply.clear();
                reply.push_str("ERR\n");
            }
            output.write_all(reply.as_bytes())?;
        }
    }
}

fn start_service() -> io::Result<(SocketAddr, thread::JoinHandle<()>)> {
    let data = MasterData::load();
    let listener = TcpListener::bind(("127.0.0.1", 0))?;
    let addr = listener.local_addr()?;
    let handle = thread::spawn(move || {
        if let Ok((stream, _)) = listener.accept() {
            if let Err(e) = data.serve(stream) {
                eprintln!("service: {e}");
            }
        }
    });
    Ok((addr, handle))
}

// ---------------------------------------------------------------- client

struct Directory {
    input: BufReader<TcpStream>,
    output: BufWriter<TcpStream>,
    line: String,
}

impl Directory {
    fn connect(addr: SocketAddr) -> io::Result<Directory> {
        let stream = TcpStream::connect(addr)?;
        stream.set_nodelay(true)?;
        Ok(Directory {
            input: BufReader::new(stream.try_clone()?),
            output: BufWriter::new(stream),
            line: String::new(),
        })
    }

    fn read_product(&mut self) -> io::Result<Product> {
        self.line.clear();
        self.input.read_line(&mut self.line)?;
        let mut f = self.line.trim_end().split('|');
        let mut field = || f.next().ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "short answer"));
        fn number<T: std::str::FromStr>(s: &str) -> io::Result<T> {
            s.parse().map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "bad number"))
        }
        Ok(Product {
            id: number(field()?)?,
            name: field()?.to_owned(),
            cents: number(field()?)?,
            grams: number(field()?)?,
            tax_class: number(field()?)?,
        })
    }

    fn product(&mut self, id: u32) -> io::Result<Product> {
        writeln!(self.output, "P {id}")?;
        self.output.flush()?;
        self.read_product()
    }

    fn products(&mut self, ids: &[u32]) -> io::Result<HashMap<u32, Product>> {
        let mut found = HashMap::with_capacity(ids.len());
        write!(self.output, "P")?;
        for id in ids {
            write!(self.output, " {id}")?;
        }
        writeln!(self.output)?;
        self.output.flush()?;
        for _ in ids {
            let p = self.read_product()?;
            found.insert(p.id, p);
        }
        Ok(found)
    }
}

// ---------------------------------------------------------------- job

struct Line {
    product: u32,
    quantity: u64,
}

struct Order {
    number: u32,
    country: u8,
    lines: Vec<Line>,
}

fn read_order(number: u32) -> Order {
    let r = mix(number as u64 ^ 0xabcdef);
    let count = 6 + r % 8;
    let lines = (0..count)
        .map(|i| {
            let q = mix(r.wrapping_add(i * 77));
            Line { product: ((q >> 7) % PRODUCTS as u64) as u32, quantity: 1 + q % 9 }
        })
        .collect();
    Order { number, country: ((r >> 40) % 5) as u8, lines }
}

#[derive(Default)]
struct Invoices {
    count: u64,
    cents: u64,
    digest: u64,
    text: String,
}

impl Invoices {
    fn begin(&mut self, o: &Order) {
        self.text.clear();
        let _ = writeln!(self.text, "INVOICE {:08} country {}", o.number, o.country);
    }

    fn add_line(&mut self, o: &Order, l: &Line, p: &Product) -> (u64, u64) {
        let net = p.cents * l.quantity;
        let rate = match (p.tax_class, o.country) {
            (0, _) => 0,
            (1, c) => 5 + c as u64,
            (_, c) => 17 + 2 * c as u64,
        };
        let gross = net + (net * rate + 50) / 100;
        let _ = writeln!(self.text, "{:>4} x {:<28} {:>9}.{:02}", l.quantity, p.name, gross / 100, gross % 100);
        (gross, p.grams * l.quantity)
    }

    fn finish(&mut self, gross: u64, grams: u64) {
        let freight = 390 + grams / 1000 * 45;
        let _ = writeln!(self.text, "freight {} total {}", freight, gross + freight);
        self.count += 1;
        self.cents += gross + freight;
        for chunk in self.text.as_bytes().chunks(8) {
            let mut w = [0u8; 8];
            w[..chunk.len()].copy_from_slice(chunk);
            self.digest = mix(self.digest ^ u64::from_le_bytes(w));
        }
    }
}

/// Looks each article up when its line is written.
fn invoice_direct(orders: &[Order], dir: &mut Directory, out: &mut Invoices) -> io::Result<()> {
    for o in orders {
        out.begin(o);
        let (mut gross, mut grams) = (0, 0);
        for l in &o.lines {
            let p = dir.product(l.product)?;
            let (g, w) = out.add_line(o, l, &p);
            gross += g;
            grams += w;
        }
        out.finish(gross, grams);
    }
    Ok(())
}

/// Resolves the articles of all orders first, then writes.
fn invoice_resolved(orders: &[Order], dir: &mut Directory, out: &mut Invoices) -> io::Result<()> {
    let mut ids: Vec<u32> = orders.iter().flat_map(|o| o.lines.iter().map(|l| l.product)).collect();
    ids.sort_unstable();
    ids.dedup();
    let found = dir.products(&ids)?;
    for o in orders {
        out.begin(o);
        let (mut gross, mut grams) = (0, 0);
        for l in &o.lines {
            let (g, w) = out.add_line(o, l, &found[&l.product]);
            gross += g;
            grams += w;
        }
        out.finish(gross, grams);
    }
    Ok(())
}

fn main() -> io::Result<()> {
    let resolved = std::env::args().nth(1).as_deref() == Some("fixed");
    let (addr, service) = start_service()?;
    let t0 = Instant::now();
    let mut dir = Directory::connect(addr)?;
    let mut invoices = Invoices::default();
    let mut batch = Vec::with_capacity(BATCH);
    for number in 0..ORDERS {
        batch.push(read_order(number));
        if batch.len() == BATCH || number + 1 == ORDERS {
            if resolved {
                invoice_resolved(&batch, &mut dir, &mut invoices)?;
            } else {
                invoice_direct(&batch, &mut dir, &mut invoices)?;
            }
            batch.clear();
        }
    }
    drop(dir);
    service.join().expect("service");
    println!(
        "invoices={} cents={} digest={:016x} seconds={:.3}",
        invoices.count,
        invoices.cents,
        invoices.digest,
        t0.elapsed().as_secs_f64()
    );
    Ok(())
}
