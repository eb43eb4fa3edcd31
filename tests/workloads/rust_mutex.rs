// SPDX-License-Identifier: Apache-2.0
// Text records of many devices that end in one table behind a std::sync::Mutex: bad parses each with the table locked, fixed before it
// locks. Prints what tests/workloads/measure.h prints.
use std::sync::{Arc, Mutex};
use std::time::Instant;

const REQUESTS: u64 = 40_000;
const THREADS: u64 = 4;
const FIELDS: u64 = 4_000;
const TEXTS: u64 = 16;
const DEVICES: usize = 1_000;

fn mix(mut x: u64) -> u64 {
    x ^= x >> 31;
    x = x.wrapping_mul(0x7fb5d329728ea185);
    x ^= x >> 27;
    x = x.wrapping_mul(0x81dadef4bc2dd44d);
    x ^ (x >> 33)
}

#[derive(Clone, Copy, Default)]
struct Readings {
    count: u64,
    sum: u64,
    largest: u64,
}

fn text_of_device(mut number: u64) -> String {
    let mut text = String::new();
    for field in 0..FIELDS {
        number = mix(number + 1);
        text.push_str(&format!("sensor_{}={};", field, number % 1_000_000));
    }
    text
}

#[inline(never)]
fn parse_record(text: &str) -> Readings {
    let mut readings = Readings::default();
    let (mut value, mut in_value) = (0u64, false);
    for byte in text.bytes() {
        match byte {
            b'=' => in_value = true,
            b';' => {
                readings.count += 1;
                readings.sum += value;
                readings.largest = readings.largest.max(value);
                value = 0;
                in_value = false;
            }
            _ if in_value => value = 10 * value + u64::from(byte - b'0'),
            _ => {}
        }
    }
    readings
}

// What a request costs besides: no other thread takes part in it.
#[inline(never)]
fn check_signature(mut request: u64) -> u64 {
    for i in 0..800 {
        request = mix(request.wrapping_add(i));
    }
    request
}

struct DeviceTable {
    rows: Mutex<Vec<(Readings, u64)>>,
}

fn add(row: &mut (Readings, u64), readings: Readings, signature: u64) {
    row.0.count += readings.count;
    row.0.sum = row.0.sum.wrapping_add(readings.sum);
    row.0.largest = row.0.largest.max(readings.largest);
    row.1 ^= signature;
}

impl DeviceTable {
    #[inline(never)]
    fn add_text(&self, device: usize, text: &str, signature: u64) {
        let mut rows = self.rows.lock().unwrap();
        let readings = parse_record(text);
        add(&mut rows[device], readings, signature);
    }

    #[inline(never)]
    fn add_readings(&self, device: usize, readings: Readings, signature: u64) {
        let mut rows = self.rows.lock().unwrap();
        add(&mut rows[device], readings, signature);
    }
}

fn collect(inside: bool) -> u64 {
    let texts: Arc<Vec<String>> = Arc::new((0..TEXTS).map(|i| text_of_device(i * 1_000_003)).collect());
    let table = Arc::new(DeviceTable { rows: Mutex::new(vec![(Readings::default(), 0); DEVICES]) });
    let workers: Vec<_> = (0..THREADS)
        .map(|first| {
            let (texts, table) = (texts.clone(), table.clone());
            std::thread::spawn(move || {
                for request in (first..REQUESTS).step_by(THREADS as usize) {
                    let (device, text) = ((request % DEVICES as u64) as usize, &texts[(request % TEXTS) as usize]);
                    let signature = check_signature(request);
                    if inside {
                        table.add_text(device, text, signature);
                    } else {
                        table.add_readings(device, parse_record(text), signature);
                    }
                }
            })
        })
        .collect();
    for worker in workers {
        worker.join().unwrap();
    }
    let rows = table.rows.lock().unwrap();
    rows.iter().fold(0, |sum, (readings, signatures)| mix(sum ^ readings.count ^ readings.sum ^ readings.largest ^ signatures))
}

// CPU seconds so far: utime and stime of /proc/self/stat, in hundredths.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat[stat.rfind(')').unwrap() + 2..].split(' ').collect();
    (fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()) / 100.0
}

fn memory_bytes(name: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with(name)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}

fn main() {
    let variant = std::env::args().nth(1).unwrap_or_default();
    if variant != "bad" && variant != "fixed" {
        eprintln!("usage: workload_rust_mutex bad|fixed");
        std::process::exit(2);
    }
    let start = Instant::now();
    let checksum = collect(variant == "bad");
    let wall = start.elapsed().as_secs_f64();
    println!(
        "variant={} wall={:.4} cpu={:.4} latency=0 resident={} peak={} checksum={:016x}",
        variant,
        wall,
        cpu_seconds(),
        memory_bytes("VmRSS"),
        memory_bytes("VmHWM"),
        checksum
    );
}
