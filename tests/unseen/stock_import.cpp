// SPDX-License-Identifier: Apache-2.0
// link: -lsqlite3 -lfmt -lz
// Nightly stock import: gzip'd supplier files are unpacked and parsed by a few
// workers, one writer merges the rows into SQLite, a report closes the run.
#include <fmt/format.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <zlib.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <charconv>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <deque>
#include <filesystem>
#include <memory>
#include <mutex>
#include <optional>
#include <random>
#include <semaphore>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

namespace {

constexpr int kFiles = 120;
constexpr int kRowsPerFile = 12000;
constexpr int kParsers = 2;
constexpr std::size_t kBatchRows = 3000;
constexpr int kBatchesPerCommit = 20;
constexpr std::ptrdiff_t kQueueSlots = 8;

struct StockRow {
  std::string sku, site;
  int quantity = 0;
  std::int64_t cost_cents = 0;
  int day = 0;
};
using Batch = std::vector<StockRow>;

// Bounded hand-over from the parsers to the writer.
class BatchChannel {
 public:
  void send(Batch b) {
    slots_.acquire();
    {
      std::lock_guard lk(mx_);
      q_.push_back(std::move(b));
    }
    filled_.release();
  }
  void close() { filled_.release(); }
  std::optional<Batch> receive() {
    filled_.acquire();
    std::optional<Batch> b;
    {
      std::lock_guard lk(mx_);
      if (q_.empty()) return std::nullopt;
      b = std::move(q_.front());
      q_.pop_front();
    }
    slots_.release();
    return b;
  }

 private:
  std::counting_semaphore<kQueueSlots> slots_{kQueueSlots};
  std::counting_semaphore<> filled_{0};
  std::mutex mx_;
  std::deque<Batch> q_;
};

// ------------------------------------------------------------------- sqlite
struct DbClose {
  void operator()(sqlite3* d) const { sqlite3_close(d); }
};
struct StmtFinalize {
  void operator()(sqlite3_stmt* s) const { sqlite3_finalize(s); }
};

class Database {
 public:
  explicit Database(const fs::path& file) {
    sqlite3* raw = nullptr;
    if (sqlite3_open(file.c_str(), &raw) != SQLITE_OK) throw std::runtime_error("open");
    db_.reset(raw);
    exec("PRAGMA journal_mode=WAL");
    exec("PRAGMA synchronous=NORMAL");
    exec("PRAGMA cache_size=-32000");
  }
  void exec(const char* sql) {
    char* msg = nullptr;
    if (sqlite3_exec(db_.get(), sql, nullptr, nullptr, &msg) != SQLITE_OK) throw std::runtime_error(msg);
  }
  std::unique_ptr<sqlite3_stmt, StmtFinalize> prepare(const char* sql) {
    sqlite3_stmt* s = nullptr;
    if (sqlite3_prepare_v2(db_.get(), sql, -1, &s, nullptr) != SQLITE_OK) throw std::runtime_error(sqlite3_errmsg(db_.get()));
    return std::unique_ptr<sqlite3_stmt, StmtFinalize>(s);
  }

 private:
  std::unique_ptr<sqlite3, DbClose> db_;
};

class StockWriter {
 public:
  explicit StockWriter(Database& db) : db_(db) {
    db_.exec(
        "CREATE TABLE stock(sku TEXT, site TEXT, quantity INTEGER, cost_cents INTEGER, day INTEGER,"
        " PRIMARY KEY(sku, site)) WITHOUT ROWID");
    upsert_ = db_.prepare(
        "INSERT INTO stock VALUES(?1,?2,?3,?4,?5) ON CONFLICT(sku,site) DO UPDATE SET"
        " quantity = quantity + excluded.quantity, cost_cents = max(cost_cents, excluded.cost_cents),"
        " day = max(day, excluded.day)");
  }
  void write(const Batch& batch) {
    if (in_transaction_++ == 0) db_.exec("BEGIN");
    for (const auto& r : batch) {
      sqlite3_stmt* s = upsert_.get();
      sqlite3_bind_text(s, 1, r.sku.data(), int(r.sku.size()), SQLITE_STATIC);
      sqlite3_bind_text(s, 2, r.site.data(), int(r.site.size()), SQLITE_STATIC);
      sqlite3_bind_int(s, 3, r.quantity);
      sqlite3_bind_int64(s, 4, r.cost_cents);
      sqlite3_bind_int(s, 5, r.day);
      if (sqlite3_step(s) != SQLITE_DONE) throw std::runtime_error("upsert");
      sqlite3_reset(s);
    }
    rows_ += batch.size();
    if (in_transaction_ == kBatchesPerCommit) commit();
  }
  void commit() {
    if (in_transaction_ == 0) return;
    db_.exec("COMMIT");
    in_transaction_ = 0;
  }
  std::uint64_t rows() const { return rows_; }

 private:
  Database& db_;
  std::unique_ptr<sqlite3_stmt, StmtFinalize> upsert_;
  std::uint64_t rows_ = 0;
  int in_transaction_ = 0;
};

// -------------------------------------------------------------------- files
struct GzClose {
  void operator()(gzFile f) const { gzclose(f); }
};
using Gz = std::unique_ptr<gzFile_s, GzClose>;

void write_supplier_file(const fs::path& path, int n) {
  std::mt19937 rng(7000 + n);
  Gz out(gzopen(path.c_str(), "wb1"));
  gzbuffer(out.get(), 128 * 1024);
  std::string text;
  for (int i = 0; i < kRowsPerFile; ++i)
    fmt::format_to(std::back_inserter(text), "ART-{:06};SITE{:02};{};{}.{:02};{}\n", rng() % 6000, rng() % 12, rng() % 50,
                   rng() % 300, rng() % 100, 19000 + rng() % 365);
  gzwrite(out.get(), text.data(), unsigned(text.size()));
}

int to_int(std::string_view s) {
  int v = 0;
  std::from_chars(s.data(), s.data() + s.size(), v);
  return v;
}

StockRow parse_row(std::string_view line) {
  std::array<std::string_view, 5> f;
  for (std::size_t i = 0; i < f.size(); ++i) {
    const auto p = line.find(';');
    f[i] = line.substr(0, p);
    line.remove_prefix(p == line.npos ? line.size() : p + 1);
  }
  const auto dot = f[3].find('.');
  return {std::string(f[0]), std::string(f[1]), to_int(f[2]),
          std::int64_t(to_int(f[3].substr(0, dot))) * 100 + to_int(f[3].substr(dot + 1)), to_int(f[4])};
}

// Rows in key order reach neighbouring pages of the table.
void order_by_key(Batch& b) {
  std::sort(b.begin(), b.end(), [](const StockRow& x, const StockRow& y) {
    const int c = x.sku.compare(y.sku);
    return c != 0 ? c < 0 : x.site < y.site;
  });
}

void parse_file(const fs::path& path, BatchChannel& out) {
  Gz in(gzopen(path.c_str(), "rb"));
  gzbuffer(in.get(), 128 * 1024);
  std::string buf(256 * 1024, '\0');
  std::size_t have = 0;
  Batch batch;
  batch.reserve(kBatchRows);
  for (int n; (n = gzread(in.get(), buf.data() + have, unsigned(buf.size() - have))) > 0;) {
    have += std::size_t(n);
    std::string_view rest(buf.data(), have);
    for (std::size_t eol; (eol = rest.find('\n')) != rest.npos; rest.remove_prefix(eol + 1)) {
      batch.push_back(parse_row(rest.substr(0, eol)));
      if (batch.size() == kBatchRows) {
        order_by_key(batch);
        out.send(std::move(batch));
        batch = Batch();
        batch.reserve(kBatchRows);
      }
    }
    std::memmove(buf.data(), rest.data(), have = rest.size());
  }
  if (batch.empty()) return;
  order_by_key(batch);
  out.send(std::move(batch));
}

void report(Database& db) {
  auto q = db.prepare(
      "SELECT site, count(*), sum(quantity), sum(quantity*cost_cents) FROM stock GROUP BY site ORDER BY site");
  while (sqlite3_step(q.get()) == SQLITE_ROW)
    fmt::print("{} items={} quantity={} value={}\n", reinterpret_cast<const char*>(sqlite3_column_text(q.get(), 0)),
               sqlite3_column_int64(q.get(), 1), sqlite3_column_int64(q.get(), 2), sqlite3_column_int64(q.get(), 3));
}

}  // namespace

int main() {
  const char* tmp = getenv("TMPDIR");
  std::string dir = std::string(tmp && *tmp ? tmp : "/tmp") + "/stockXXXXXX";
  if (!mkdtemp(dir.data())) return 1;
  std::vector<fs::path> files;
  for (int i = 0; i < kFiles; ++i) {
    files.push_back(fs::path(dir) / fmt::format("supplier{:02}.csv.gz", i));
    write_supplier_file(files.back(), i);
  }

  const auto t0 = Clock::now();
  {
    Database db(fs::path(dir) / "stock.db");
    StockWriter writer(db);
    BatchChannel channel;
    std::atomic<std::size_t> next{0};
    std::atomic<int> active{kParsers};
    {
      std::vector<std::jthread> parsers;
      for (int i = 0; i < kParsers; ++i)
        parsers.emplace_back([&] {
          for (std::size_t k; (k = next.fetch_add(1)) < files.size();) parse_file(files[k], channel);
          if (active.fetch_sub(1) == 1) channel.close();
        });
      while (auto batch = channel.receive()) writer.write(*batch);
      writer.commit();
    }
    fmt::print("rows={}\n", writer.rows());
    report(db);
  }
  const double secs = std::chrono::duration<double>(Clock::now() - t0).count();
  fs::remove_all(dir);
  fmt::print("seconds={:.3f}\n", secs);
}
