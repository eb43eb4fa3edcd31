// SPDX-License-Identifier: Apache-2.0
// logindex: builds an inverted index (service -> status histogram, path -> hits)
// out of access-log lines.
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <iostream>
#include <map>
#include <random>
#include <regex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace logidx {

struct Record {
    std::string host;
    std::string method;
    std::string path;
    int status = 0;
    std::uint64_t bytes = 0;
};

struct Options {
    bool shared_matcher = false;
};

class LineSource {
public:
    explicit LineSource(unsigned seed) : rng_(seed) {}
    std::string next() {
        static const char* methods[] = {"GET", "PUT", "POST", "DELETE"};
        static const char* roots[] = {"/api/v1/users", "/api/v1/orders", "/static/img", "/health", "/search"};
        static const int codes[] = {200, 200, 200, 200, 204, 301, 404, 500, 503};
        char buf[256];
        std::snprintf(buf, sizeof buf, "10.%u.%u.%u - - [12/Mar/2024:10:%02u:%02u] \"%s %s/%u HTTP/1.1\" %d %u",
                      pick(8), pick(256), pick(256), pick(60), pick(60), methods[pick(4)], roots[pick(5)],
                      pick(500), codes[pick(9)], pick(90000));
        return buf;
    }

private:
    unsigned pick(unsigned n) { return rng_() % n; }
    std::mt19937 rng_;
};

static const char* kLayout =
    R"(^(\d+\.\d+\.\d+\.\d+) - - \[([^\]]+)\] "(GET|PUT|POST|DELETE) ([^ ]+) HTTP/1\.[01]" (\d{3}) (\d+)$)";

class Parser {
public:
    explicit Parser(Options o) : opts_(o) {}

    bool parse_line(const std::string& line, Record& out) const {
        std::smatch m;
        if (opts_.shared_matcher) {
            static const std::regex layout(kLayout, std::regex::optimize);
            if (!std::regex_match(line, m, layout)) return false;
        } else {
            std::regex layout(kLayout);
            if (!std::regex_match(line, m, layout)) return false;
        }
        out.host = m[1];
        out.method = m[3];
        out.path = m[4];
        out.status = std::atoi(m[5].str().c_str());
        out.bytes = std::strtoull(m[6].str().c_str(), nullptr, 10);
        return true;
    }

private:
    Options opts_;
};

class Index {
public:
    void add(const Record& r, std::uint32_t line_no) {
        auto& p = postings_[r.path];
        p.push_back(line_no);
        by_status_[r.status] += r.bytes;
        hosts_[r.host]++;
        add_grams(r.path);
        add_grams(r.host);
    }
    void add_grams(const std::string& text) {
        for (std::size_t i = 0; i + 4 <= text.size(); ++i) {
            std::uint32_t g;
            std::memcpy(&g, text.data() + i, 4);
            auto& e = grams_[g];
            e.hits++;
            e.mask |= 1ull << (i & 63);
        }
    }
    std::uint64_t digest() const {
        std::uint64_t h = 1469598103934665603ull;
        for (auto& [code, bytes] : by_status_) h = (h ^ (code * 31ull + bytes)) * 1099511628211ull;
        std::uint64_t sum = 0;
        for (auto& [path, lines] : postings_)
            for (auto n : lines) sum += n * (path.size() + 7ull);
        std::uint64_t gs = 0;
        for (auto& [g, e] : grams_) gs += g * (std::uint64_t)e.hits ^ e.mask;
        return h ^ sum ^ gs ^ hosts_.size();
    }
    std::size_t paths() const { return postings_.size(); }

private:
    struct Gram {
        std::uint32_t hits = 0;
        std::uint64_t mask = 0;
    };
    std::map<std::uint32_t, Gram> grams_;
    std::unordered_map<std::string, std::vector<std::uint32_t>> postings_;
    std::map<int, std::uint64_t> by_status_;
    std::unordered_map<std::string, std::uint32_t> hosts_;
};

class Indexer {
public:
    explicit Indexer(Options o) : parser_(o) {}
    void ingest(const std::vector<std::string>& lines) {
        Record r;
        for (const auto& l : lines) {
            ++line_no_;
            if (parser_.parse_line(l, r)) index_.add(r, line_no_);
            else ++rejected_;
        }
    }
    const Index& index() const { return index_; }
    std::uint32_t rejected() const { return rejected_; }

private:
    Parser parser_;
    Index index_;
    std::uint32_t line_no_ = 0;
    std::uint32_t rejected_ = 0;
};

}  // namespace logidx

int main(int argc, char** argv) {
    logidx::Options o;
    o.shared_matcher = argc > 1 && std::strcmp(argv[1], "fixed") == 0;
    auto t0 = std::chrono::steady_clock::now();
    logidx::LineSource src(42);
    logidx::Indexer ix(o);
    for (int chunk = 0; chunk < 24; ++chunk) {
        std::vector<std::string> lines;
        lines.reserve(1000);
        for (int i = 0; i < 1000; ++i) lines.push_back(src.next());
        ix.ingest(lines);
    }
    double s = std::chrono::duration<double>(std::chrono::steady_clock::now() - t0).count();
    std::cout << "paths=" << ix.index().paths() << " rejected=" << ix.rejected() << " checksum=" << ix.index().digest()
              << " seconds=" << s << "\n";
    return 0;
}
