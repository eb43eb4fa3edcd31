// SPDX-License-Identifier: Apache-2.0
// playlobby: runs quick matches of a board game server. A lobby opens a table, seats
// players, plays the match and closes the table again; replays live as long as a seat.
use std::sync::{Arc, Mutex, Weak};
use std::thread;
use std::time::Instant;

#[derive(Clone, Copy, PartialEq)]
enum Tie {
    Firm,
    Loose,
}

enum TableRef {
    Firm(Arc<Table>),
    Loose(Weak<Table>),
}

impl TableRef {
    fn new(t: &Arc<Table>, tie: Tie) -> TableRef {
        match tie {
            Tie::Firm => TableRef::Firm(Arc::clone(t)),
            Tie::Loose => TableRef::Loose(Arc::downgrade(t)),
        }
    }

    fn with<R>(&self, f: impl FnOnce(&Table) -> R) -> Option<R> {
        match self {
            TableRef::Firm(t) => Some(f(t)),
            TableRef::Loose(w) => w.upgrade().map(|t| f(&t)),
        }
    }
}

struct Seat {
    player: u32,
    table: TableRef,
    replay: Mutex<Vec<u16>>,
}

struct Table {
    number: u32,
    seats: Mutex<Vec<Arc<Seat>>>,
    score: Mutex<Vec<i64>>,
}

impl Table {
    fn open(number: u32) -> Arc<Table> {
        Arc::new(Table { number, seats: Mutex::new(Vec::new()), score: Mutex::new(Vec::new()) })
    }

    fn take_seat(self: &Arc<Self>, player: u32, tie: Tie) -> Arc<Seat> {
        let seat = Arc::new(Seat {
            player,
            table: TableRef::new(self, tie),
            replay: Mutex::new(Vec::with_capacity(600)),
        });
        self.seats.lock().unwrap().push(Arc::clone(&seat));
        self.score.lock().unwrap().push(0);
        seat
    }

    fn book(&self, chair: usize, points: i64) {
        self.score.lock().unwrap()[chair] += points;
    }

    fn verdict(&self) -> i64 {
        let s = self.score.lock().unwrap();
        s.iter().enumerate().map(|(i, p)| p * (i as i64 + 1)).sum::<i64>() ^ self.number as i64
    }
}

struct Dice(u64);

impl Dice {
    fn roll(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 20) % n
    }
}

struct Board {
    cells: [i8; 64],
}

impl Board {
    fn worth(&self, at: usize, side: i8) -> i64 {
        let (x, y) = (at as i64 % 8, at as i64 / 8);
        let mut w = 7 - (x - 3).abs() - (y - 3).abs();
        for (dx, dy) in [(1, 0), (0, 1), (1, 1), (1, -1), (-1, 0), (0, -1), (-1, -1), (-1, 1)] {
            let (mut cx, mut cy, mut run) = (x + dx, y + dy, 0);
            while (0..8).contains(&cx) && (0..8).contains(&cy) {
                let c = self.cells[(cy * 8 + cx) as usize];
                if c == 0 {
                    break;
                }
                run += if c == side { 1 } else { 3 };
                cx += dx;
                cy += dy;
            }
            w += run;
        }
        w
    }

    fn best_move(&self, side: i8, dice: &mut Dice) -> usize {
        let mut best = (i64::MIN, 0);
        for at in 0..64 {
            if self.cells[at] == 0 {
                let w = self.worth(at, side) * 4 + dice.roll(4) as i64;
                if w > best.0 {
                    best = (w, at);
                }
            }
        }
        best.1
    }
}

struct Lobby {
    tie: Tie,
    dice: Dice,
    verdicts: i64,
}

impl Lobby {
    fn play_match(&mut self, number: u32) {
        let table = Table::open(number);
        let seats: Vec<_> = (0..4).map(|p| table.take_seat(number * 4 + p, self.tie)).collect();
        let mut board = Board { cells: [0; 64] };
        for turn in 0..TURNS {
            let chair = turn % seats.len();
            let at = board.best_move(chair as i8 + 1, &mut self.dice);
            let seat = &seats[chair];
            seat.replay.lock().unwrap().extend_from_slice(&[at as u16, turn as u16]);
            seat.table.with(|t| t.book(chair, board.worth(at, chair as i8 + 1)));
            board.cells[at] = chair as i8 + 1;
            if turn % 3 == 2 {
                board.cells[self.dice.roll(64) as usize] = 0;
            }
        }
        self.close_table(table, seats);
    }

    fn close_table(&mut self, table: Arc<Table>, seats: Vec<Arc<Seat>>) {
        for s in &seats {
            let moves = s.replay.lock().unwrap();
            self.verdicts = self.verdicts.wrapping_mul(31).wrapping_add(moves.iter().map(|&m| m as i64).sum::<i64>() + s.player as i64);
        }
        self.verdicts = self.verdicts.wrapping_add(table.verdict());
    }
}

const TURNS: usize = 60;

fn resident_mb() -> u64 {
    let s = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    s.split(' ').nth(1).and_then(|p| p.parse::<u64>().ok()).unwrap_or(0) * 4096 / 1_000_000
}

fn main() {
    let mode = std::env::args().nth(1).unwrap_or_default();
    let tie = if mode == "fixed" { Tie::Loose } else { Tie::Firm };
    let t0 = Instant::now();
    let halls: Vec<_> = (0..2u64)
        .map(|h| {
            thread::Builder::new()
                .name(format!("hall-{}", h))
                .spawn(move || {
                    let mut lobby = Lobby { tie, dice: Dice(77 + h), verdicts: 0 };
                    for m in 0..60000 {
                        lobby.play_match(m);
                    }
                    lobby.verdicts
                })
                .unwrap()
        })
        .collect();
    let sum = halls.into_iter().fold(0i64, |a, h| a.wrapping_mul(7).wrapping_add(h.join().unwrap()));
    println!("verdicts={} resident_mb={} seconds={:.3}", sum, resident_mb(), t0.elapsed().as_secs_f64());
}
