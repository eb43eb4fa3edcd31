// SPDX-License-Identifier: Apache-2.0
// link: -lbrotlienc -lbrotlidec -lbrotlicommon -lfmt -lcrypto
// Personalisation service: requests carry a session token; the user's profile
// blob (brotli compressed in the store) is expanded and scored against offers.
#include <brotli/decode.h>
#include <brotli/encode.h>
#include <fmt/format.h>
#include <openssl/evp.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <functional>
#include <future>
#include <list>
#include <memory>
#include <mutex>
#include <random>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

using Clock = std::chrono::steady_clock;

namespace {

constexpr int kUsers = 600;
constexpr int kVisits = 26000;
constexpr int kPagesPerVisit = 4;
constexpr int kShards = 2;
constexpr std::size_t kFeatures = 3000;

// -------------------------------------------------------------------- store
class BlobStore {
 public:
  BlobStore() {
    std::mt19937 rng(99);
    for (int u = 0; u < kUsers; ++u) {
      std::string text;
      for (std::size_t i = 0; i < kFeatures; ++i) text += fmt::format("{};", (rng() % 64) * (i % 9));
      std::size_t n = BrotliEncoderMaxCompressedSize(text.size());
      std::vector<std::uint8_t> out(n);
      BrotliEncoderCompress(1, 18, BROTLI_MODE_TEXT, text.size(), reinterpret_cast<const std::uint8_t*>(text.data()), &n,
                            out.data());
      out.resize(n);
      raw_size_.push_back(text.size());
      blobs_.push_back(std::move(out));
    }
  }
  std::string fetch(int user) const {
    std::string text(raw_size_[user], '\0');
    std::size_t n = text.size();
    BrotliDecoderDecompress(blobs_[user].size(), blobs_[user].data(), &n, reinterpret_cast<std::uint8_t*>(text.data()));
    return text;
  }

 private:
  std::vector<std::vector<std::uint8_t>> blobs_;
  std::vector<std::size_t> raw_size_;
};

// ------------------------------------------------------------------ profile
struct Profile {
  int user;
  std::vector<float> weights;
  std::string token;

  double score(int offer) const {
    double s = 0;
    for (std::size_t i = 0; i < weights.size(); ++i) s += weights[i] * ((i * 7 + offer) % 13);
    return s;
  }
};
using ProfilePtr = std::shared_ptr<const Profile>;

ProfilePtr decode_profile(const BlobStore& store, int user, std::string token) {
  const std::string text = store.fetch(user);
  auto p = std::make_shared<Profile>();
  p->user = user;
  p->token = std::move(token);
  p->weights.reserve(kFeatures);
  int v = 0;
  for (char c : text) {
    if (c == ';') {
      p->weights.push_back(v / 64.0f);
      v = 0;
    } else {
      v = v * 10 + (c - '0');
    }
  }
  return p;
}

// ------------------------------------------------------------------ session
class SessionProfiles {
 public:
  SessionProfiles(const BlobStore& store, std::size_t capacity) : store_(store), capacity_(capacity) {}

  ProfilePtr lookup(const std::string& token, int user) {
    if (auto it = index_.find(token); it != index_.end()) {
      ++hits_;
      order_.splice(order_.begin(), order_, it->second);
      return *it->second;
    }
    order_.push_front(decode_profile(store_, user, token));
    index_.emplace(token, order_.begin());
    if (capacity_ != 0 && index_.size() > capacity_) {
      index_.erase(order_.back()->token);
      order_.pop_back();
    }
    return order_.front();
  }

  std::uint64_t hits() const { return hits_; }

 private:
  const BlobStore& store_;
  std::size_t capacity_;  // 0: no limit
  std::list<ProfilePtr> order_;
  std::unordered_map<std::string, std::list<ProfilePtr>::iterator> index_;
  std::uint64_t hits_ = 0;
};

std::string session_token(int user, int visit) {
  const std::string seed = fmt::format("{}:{}:portal", user, visit);
  std::array<unsigned char, EVP_MAX_MD_SIZE> md;
  unsigned n = 0;
  EVP_Digest(seed.data(), seed.size(), md.data(), &n, EVP_sha256(), nullptr);
  std::string hex;
  for (unsigned i = 0; i < 16; ++i) hex += fmt::format("{:02x}", md[i]);
  return hex;
}

struct ShardResult {
  std::uint64_t pages = 0, hits = 0, best = 0;
};

// One shard serves the visits whose number maps to it; a visit's pages are
// spread over the following visits as people click.
ShardResult serve_shard(const BlobStore& store, int shard, std::size_t capacity) {
  SessionProfiles profiles(store, capacity);
  ShardResult r;
  std::mt19937 rng(1000 + shard);
  struct Live {
    int user;
    std::string token;
    int left;
  };
  std::vector<Live> live;
  int next_visit = shard;
  while (next_visit < kVisits || !live.empty()) {
    while (live.size() < 60 && next_visit < kVisits) {
      const int user = rng() % kUsers;
      live.push_back({user, session_token(user, next_visit), kPagesPerVisit});
      next_visit += kShards;
    }
    const std::size_t k = rng() % live.size();
    Live& v = live[k];
    const ProfilePtr p = profiles.lookup(v.token, v.user);
    int best = 0;
    double best_score = -1;
    for (int offer = 0; offer < 6; ++offer) {
      const double s = p->score(offer + int(r.pages % 50));
      if (s > best_score) best_score = s, best = offer;
    }
    r.best += std::uint64_t(best_score) + best;
    ++r.pages;
    if (--v.left == 0) {
      std::swap(v, live.back());
      live.pop_back();
    }
  }
  r.hits = profiles.hits();
  return r;
}

double resident_mb() {
  std::ifstream f("/proc/self/status");
  std::string key;
  double kb = 0;
  while (f >> key) {
    if (key == "VmHWM:") {
      f >> kb;
      break;
    }
    f.ignore(256, '\n');
  }
  return kb / 1024;
}

}  // namespace

int main(int argc, char** argv) {
  const std::size_t capacity = argc > 1 && std::strcmp(argv[1], "fixed") == 0 ? 256 : 0;
  const auto t0 = Clock::now();
  const BlobStore store;
  std::vector<std::future<ShardResult>> shards;
  for (int s = 0; s < kShards; ++s)
    shards.push_back(std::async(std::launch::async, serve_shard, std::cref(store), s, capacity));
  ShardResult sum;
  for (auto& f : shards) {
    const ShardResult r = f.get();
    sum.pages += r.pages;
    sum.hits += r.hits;
    sum.best += r.best;
  }
  const double secs = std::chrono::duration<double>(Clock::now() - t0).count();
  fmt::print("pages={} hits={} best={}\n", sum.pages, sum.hits, sum.best);
  fmt::print("seconds={:.3f} resident_mb={:.0f}\n", secs, resident_mb());
}
