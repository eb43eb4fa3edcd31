// SPDX-License-Identifier: Apache-2.0
// Rate and quota store: a TCP server with a sharded table, one thread per
// connection of the (few) proxies that use it. The proxies pipeline their
// requests. A replay of two proxies runs in the same process.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Instant;

const SHARDS: usize = 64;
const PROXIES: u64 = 2;
const REQUESTS: u64 = 22_000_000;
const WINDOW: u64 = 512;
const TENANTS: u64 = 60_000;
const REQUEST_BYTES: usize = 24;
const REPLY_BYTES: usize = 16;

fn mix(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d049bb133111eb);
    x ^ (x >> 31)
}

/// Keys are numbers that the proxies have hashed already.
#[derive(Default)]
struct KeyHasher(u64);

impl Hasher for KeyHasher {
    fn write(&mut self, bytes: &[u8]) {
        for &b in bytes {
            self.0 = mix(self.0 ^ b as u64);
        }
    }
    fn write_u64(&mut self, v: u64) {
        self.0 = v;
    }
    fn finish(&self) -> u64 {
        self.0
    }
}

#[derive(Clone, Copy)]
struct Bucket {
    tokens: u32,
    refreshed: u32,
    granted: u64,
    denied: u64,
}

type Table = HashMap<u64, Bucket, BuildHasherDefault<KeyHasher>>;

#[repr(align(128))]
struct Shard {
    table: Mutex<Table>,
}

struct Store {
    shards: Vec<Shard>,
    connections: AtomicU64,
}

#[derive(Clone, Copy)]
struct Request {
    key: u64,
    tick: u32,
    cost: u32,
    tag: u64,
}

#[derive(Clone, Copy)]
struct Reply {
    tag: u64,
    granted: u32,
    left: u32,
}

impl Request {
    fn decode(b: &[u8; REQUEST_BYTES]) -> Request {
        Request {
            key: u64::from_le_bytes(b[0..8].try_into().unwrap()),
            tick: u32::from_le_bytes(b[8..12].try_into().unwrap()),
            cost: u32::from_le_bytes(b[12..16].try_into().unwrap()),
            tag: u64::from_le_bytes(b[16..24].try_into().unwrap()),
        }
    }
    fn encode(&self) -> [u8; REQUEST_BYTES] {
        let mut b = [0u8; REQUEST_BYTES];
        b[0..8].copy_from_slice(&self.key.to_le_bytes());
        b[8..12].copy_from_slice(&self.tick.to_le_bytes());
        b[12..16].copy_from_slice(&self.cost.to_le_bytes());
        b[16..24].copy_from_slice(&self.tag.to_le_bytes());
        b
    }
}

impl Reply {
    fn decode(b: &[u8; REPLY_BYTES]) -> Reply {
        Reply {
            tag: u64::from_le_bytes(b[0..8].try_into().unwrap()),
            granted: u32::from_le_bytes(b[8..12].try_into().unwrap()),
            left: u32::from_le_bytes(b[12..16].try_into().unwrap()),
        }
    }
    fn encode(&self) -> [u8; REPLY_BYTES] {
        let mut b = [0u8; REPLY_BYTES];
        b[0..8].copy_from_slice(&self.tag.to_le_bytes());
        b[8..12].copy_from_slice(&self.granted.to_le_bytes());
        b[12..16].copy_from_slice(&self.left.to_le_bytes());
        b
    }
}

impl Store {
    const BURST: u32 = 100;
    const PER_TICK: u32 = 3;

    fn new() -> Store {
        let per_shard = TENANTS as usize * PROXIES as usize / SHARDS * 5 / 4;
        let shards = (0..SHARDS)
            .map(|_| Shard { table: Mutex::new(Table::with_capacity_and_hasher(per_shard, Default::default())) })
            .collect();
        Store { shards, connections: AtomicU64::new(0) }
    }

    fn apply(&self, rq: &Request) -> Reply {
        let shard = &self.shards[(rq.key >> 58) as usize % SHARDS];
        let mut table = shard.table.lock().unwrap();
        let b = table.entry(rq.key).or_insert(Bucket {
            tokens: Self::BURST,
            refreshed: rq.tick,
            granted: 0,
            denied: 0,
        });
        let elapsed = rq.tick.saturating_sub(b.refreshed);
        b.tokens = (b.tokens + elapsed.min(Self::BURST) * Self::PER_TICK).min(Self::BURST);
        b.refreshed = b.refreshed.max(rq.tick);
        let granted = b.tokens >= rq.cost;
        if granted {
            b.tokens -= rq.cost;
            b.granted += 1;
        } else {
            b.denied += 1;
        }
        Reply { tag: rq.tag, granted: granted as u32, left: b.tokens }
    }

    fn serve(&self, stream: TcpStream) -> io::Result<()> {
        self.connections.fetch_add(1, Ordering::Relaxed);
        stream.set_nodelay(true)?;
        let mut input = BufReader::with_capacity(64 * 1024, stream.try_clone()?);
        let mut output = BufWriter::with_capacity(64 * 1024, stream);
        let mut raw = [0u8; REQUEST_BYTES];
        loop {
            if input.buffer().len() < REQUEST_BYTES {
                output.flush()?;
            }
            match input.read_exact(&mut raw) {
                Ok(()) => {}
                Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => return output.flush(),
                Err(e) => return Err(e),
            }
            let reply = self.apply(&Request::decode(&raw));
            output.write_all(&reply.encode())?;
        }
    }

    fn totals(&self) -> (u64, u64, usize) {
        let (mut granted, mut denied, mut keys) = (0, 0, 0);
        for s in &self.shards {
            let t = s.table.lock().unwrap();
            keys += t.len();
            for b in t.values() {
                granted += b.granted;
                denied += b.denied;
            }
        }
        (granted, denied, keys)
    }
}

fn start_server(store: Arc<Store>) -> io::Result<(SocketAddr, thread::JoinHandle<()>)> {
    let listener = TcpListener::bind(("127.0.0.1", 0))?;
    let addr = listener.local_addr()?;
    let acceptor = thread::spawn(move || {
        let mut sessions = Vec::new();
        for _ in 0..PROXIES {
            let (stream, _) = match listener.accept() { Ok(accepted) => accepted, Err(_) => break };
            let store = Arc::clone(&store);
            sessions.push(thread::spawn(move || {
                if let Err(e) = store.serve(stream) {
                    eprintln!("session: {e}");
                }
            }));
        }
        for s in sessions {
            s.join().expect("session");
        }
    });
    Ok((addr, acceptor))
}

/// A proxy keeps up to two windows of requests in flight.
struct Proxy {
    id: u64,
    input: BufReader<TcpStream>,
    output: BufWriter<TcpStream>,
    digest: u64,
    granted: u64,
}

impl Proxy {
    fn connect(id: u64, addr: SocketAddr) -> io::Result<Proxy> {
        let stream = TcpStream::connect(addr)?;
        stream.set_nodelay(true)?;
        Ok(Proxy {
            id,
            input: BufReader::with_capacity(64 * 1024, stream.try_clone()?),
            output: BufWriter::with_capacity(64 * 1024, stream),
            digest: 0,
            granted: 0,
        })
    }

    fn request(&self, n: u64) -> Request {
        let r = mix(n ^ (self.id << 40));
        let tenant = if r % 4 == 0 { (r >> 8) % 2_000 } else { (r >> 8) % TENANTS };
        Request {
            key: mix(tenant * PROXIES + self.id),
            tick: (n >> 12) as u32,
            cost: 1 + (r >> 40) as u32 % 20,
            tag: n,
        }
    }

    fn send_window(&mut self, from: u64, to: u64) -> io::Result<()> {
        for n in from..to {
            let rq = self.request(n);
            self.output.write_all(&rq.encode())?;
        }
        self.output.flush()
    }

    fn receive_window(&mut self, from: u64, to: u64) -> io::Result<()> {
        let mut raw = [0u8; REPLY_BYTES];
        for n in from..to {
            self.input.read_exact(&mut raw)?;
            let reply = Reply::decode(&raw);
            if reply.tag != n {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "reply out of order"));
            }
            self.granted += reply.granted as u64;
            self.digest = mix(self.digest ^ (reply.left as u64) << 1 ^ reply.granted as u64);
        }
        Ok(())
    }

    fn run(mut self) -> io::Result<(u64, u64)> {
        let mut sent = 0;
        let mut got = 0;
        while got < REQUESTS {
            while sent < REQUESTS && sent - got < 2 * WINDOW {
                let to = (sent + WINDOW).min(REQUESTS);
                self.send_window(sent, to)?;
                sent = to;
            }
            let to = (got + WINDOW).min(sent);
            self.receive_window(got, to)?;
            got = to;
        }
        Ok((self.granted, self.digest))
    }
}

fn main() -> io::Result<()> {
    let store = Arc::new(Store::new());
    let (addr, acceptor) = start_server(Arc::clone(&store))?;
    let t0 = Instant::now();
    let mut proxies = Vec::new();
    for id in 0..PROXIES {
        let proxy = Proxy::connect(id, addr)?;
        proxies.push(thread::spawn(move || proxy.run()));
    }
    let mut digest = 0u64;
    for p in proxies {
        let (granted, d) = p.join().expect("proxy")?;
        digest = digest.wrapping_add(d ^ granted);
    }
    acceptor.join().expect("acceptor");
    let seconds = t0.elapsed().as_secs_f64();
    let (granted, denied, keys) = store.totals();
    println!(
        "connections={} granted={} denied={} keys={} digest={:016x} seconds={:.3}",
        store.connections.load(Ordering::Relaxed), granted, denied, keys, digest, seconds
    );
    Ok(())
}
