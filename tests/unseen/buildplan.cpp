// SPDX-License-Identifier: Apache-2.0
// Offline planner of the build farm: reads a target manifest, fingerprints the
// inputs, decides which targets are stale and replays the schedule on a number
// of virtual executors to predict makespan and utilisation.
#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <queue>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace plan {

using TargetId = uint32_t;

enum class State : uint8_t { Waiting, Running, Done };

struct Target {
    std::string label;
    std::string rule;
    std::vector<TargetId> deps;
    std::vector<TargetId> users;
    uint64_t fingerprint = 0;
    uint32_t cost_ms = 0;
    uint32_t unmet = 0;
    uint64_t tail_ms = 0;  // cost of the longest chain that starts here
    State state = State::Waiting;
};

class Rng {
public:
    explicit Rng(uint64_t seed) : s_(seed) {}
    uint64_t next() {
        s_ ^= s_ << 13;
        s_ ^= s_ >> 7;
        s_ ^= s_ << 17;
        return s_;
    }
    uint32_t below(uint32_t n) { return uint32_t((next() >> 11) % n); }

private:
    uint64_t s_;
};

uint64_t fnv(std::string_view text, uint64_t h = 1469598103934665603ull) {
    for (unsigned char c : text) {
        h ^= c;
        h *= 1099511628211ull;
    }
    return h;
}

class Graph {
public:
    bool load(std::string_view manifest);
    void fingerprint_all();
    void rank();
    std::vector<Target>& targets() { return targets_; }
    size_t size() const { return targets_.size(); }
    size_t edges() const { return edges_; }

private:
    TargetId intern(std::string_view label);
    void parse_line(std::string_view line);

    struct Hash {
        using is_transparent = void;
        size_t operator()(std::string_view s) const { return std::hash<std::string_view>{}(s); }
    };
    std::unordered_map<std::string, TargetId, Hash, std::equal_to<>> by_label_;
    std::vector<Target> targets_;
    std::vector<TargetId> topo_;
    size_t edges_ = 0;
};

TargetId Graph::intern(std::string_view label) {
    if (auto it = by_label_.find(label); it != by_label_.end()) return it->second;
    TargetId id = TargetId(targets_.size());
    targets_.emplace_back();
    targets_.back().label.assign(label);
    by_label_.emplace(std::string(label), id);
    return id;
}

std::string_view take_word(std::string_view& rest, char sep) {
    size_t p = rest.find(sep);
    std::string_view w = rest.substr(0, p);
    rest = p == std::string_view::npos ? std::string_view{} : rest.substr(p + 1);
    return w;
}

// label|rule|cost|dep,dep,dep
void Graph::parse_line(std::string_view line) {
    TargetId id = intern(take_word(line, '|'));
    targets_[id].rule.assign(take_word(line, '|'));
    uint32_t cost = 0;
    for (char c : take_word(line, '|')) cost = cost * 10 + uint32_t(c - '0');
    targets_[id].cost_ms = cost;
    while (!line.empty()) {
        TargetId dep = intern(take_word(line, ','));
        targets_[id].deps.push_back(dep);
        targets_[dep].users.push_back(id);
        ++edges_;
    }
}

bool Graph::load(std::string_view manifest) {
    by_label_.reserve(1 << 15);
    while (!manifest.empty()) {
        std::string_view line = take_word(manifest, '\n');
        if (!line.empty()) parse_line(line);
    }
    topo_.reserve(targets_.size());
    for (TargetId id = 0; id < targets_.size(); ++id) {
        targets_[id].unmet = uint32_t(targets_[id].deps.size());
        if (targets_[id].unmet == 0) topo_.push_back(id);
    }
    std::vector<uint32_t> left(targets_.size());
    for (size_t i = 0; i < left.size(); ++i) left[i] = targets_[i].unmet;
    for (size_t i = 0; i < topo_.size(); ++i)
        for (TargetId u : targets_[topo_[i]].users)
            if (--left[u] == 0) topo_.push_back(u);
    return topo_.size() == targets_.size();
}

// Expands the rule's command and mixes it with the fingerprints of all inputs.
void Graph::fingerprint_all() {
    std::string command;
    for (TargetId id : topo_) {
        Target& t = targets_[id];
        command.clear();
        for (char c : t.rule) {
            if (c == '@') {
                command += t.label;
            } else if (c == '<') {
                for (TargetId d : t.deps) {
                    command += targets_[d].label;
                    command += ' ';
                }
            } else {
                command += c;
            }
        }
        uint64_t h = fnv(command);
        for (int round = 0; round < 24; ++round) h = fnv(command, h + uint64_t(round));
        for (TargetId d : t.deps) h = (h ^ targets_[d].fingerprint) * 0x9e3779b97f4a7c15ull;
        t.fingerprint = h;
    }
}

void Graph::rank() {
    for (size_t i = topo_.size(); i-- > 0;) {
        Target& t = targets_[topo_[i]];
        uint64_t best = 0;
        for (TargetId u : t.users) best = std::max(best, targets_[u].tail_ms);
        t.tail_ms = best + t.cost_ms;
    }
}

struct Outcome {
    uint64_t makespan_ms = 0;
    uint64_t busy_ms = 0;
    uint64_t order_digest = 0;
};

class Replay {
public:
    Replay(Graph& g, unsigned executors, bool ordered) : g_(g), t_(g.targets()), idle_(executors), ordered_(ordered) {}
    Outcome run();

private:
    struct Finish {
        uint64_t at;
        TargetId id;
        bool operator>(const Finish& o) const { return at != o.at ? at > o.at : id > o.id; }
    };
    bool precedes(TargetId a, TargetId b) const {
        return t_[a].tail_ms != t_[b].tail_ms ? t_[a].tail_ms > t_[b].tail_ms : a < b;
    }
    bool inputs_built(const Target& t) const;
    bool choose(TargetId& out);
    bool choose_ordered(TargetId& out);
    void start(TargetId id);
    void complete(TargetId id);
    void offer(TargetId id);

    Graph& g_;
    std::vector<Target>& t_;
    unsigned idle_;
    bool ordered_;
    uint64_t now_ = 0;
    Outcome out_;
    std::vector<TargetId> pending_;
    std::vector<TargetId> runnable_;
    std::priority_queue<Finish, std::vector<Finish>, std::greater<>> finishing_;
};

bool Replay::inputs_built(const Target& t) const {
    for (TargetId d : t.deps)
        if (t_[d].state != State::Done) return false;
    return true;
}

bool Replay::choose(TargetId& out) {
    size_t best = pending_.size();
    for (size_t i = 0; i < pending_.size(); ++i) {
        TargetId id = pending_[i];
        if (!inputs_built(t_[id])) continue;
        if (best == pending_.size() || precedes(id, pending_[best])) best = i;
    }
    if (best == pending_.size()) return false;
    out = pending_[best];
    pending_[best] = pending_.back();
    pending_.pop_back();
    return true;
}

void Replay::offer(TargetId id) {
    runnable_.push_back(id);
    std::push_heap(runnable_.begin(), runnable_.end(), [this](TargetId a, TargetId b) { return precedes(b, a); });
}

bool Replay::choose_ordered(TargetId& out) {
    if (runnable_.empty()) return false;
    std::pop_heap(runnable_.begin(), runnable_.end(), [this](TargetId a, TargetId b) { return precedes(b, a); });
    out = runnable_.back();
    runnable_.pop_back();
    return true;
}

void Replay::start(TargetId id) {
    Target& t = t_[id];
    t.state = State::Running;
    --idle_;
    out_.busy_ms += t.cost_ms;
    out_.order_digest = (out_.order_digest ^ t.fingerprint ^ now_) * 0x100000001b3ull;
    finishing_.push({now_ + t.cost_ms, id});
}

void Replay::complete(TargetId id) {
    Target& t = t_[id];
    t.state = State::Done;
    ++idle_;
    if (!ordered_) return;
    for (TargetId u : t.users)
        if (--t_[u].unmet == 0) offer(u);
}

Outcome Replay::run() {
    pending_.reserve(t_.size());
    runnable_.reserve(t_.size());
    for (TargetId id = 0; id < t_.size(); ++id) {
        if (!ordered_)
            pending_.push_back(id);
        else if (t_[id].unmet == 0)
            offer(id);
    }
    for (;;) {
        TargetId id;
        while (idle_ > 0 && (ordered_ ? choose_ordered(id) : choose(id))) start(id);
        if (finishing_.empty()) break;
        Finish f = finishing_.top();
        finishing_.pop();
        now_ = f.at;
        complete(f.id);
    }
    out_.makespan_ms = now_;
    return out_;
}

std::string make_manifest(uint32_t count, Rng& rng) {
    static const char* const kinds[] = {"cc_library", "proto", "genrule", "cc_binary", "resource"};
    std::vector<std::string> labels;
    labels.reserve(count);
    for (uint32_t i = 0; i < count; ++i)
        labels.push_back("//svc/" + std::string(kinds[rng.below(5)]) + "/pkg" + std::to_string(i / 40) + ":t" +
                         std::to_string(i));
    std::string text;
    text.reserve(size_t(count) * 220);
    for (uint32_t i = 0; i < count; ++i) {
        text += labels[i];
        text += "|clang -O2 -fPIC -c < -o out/@ --depfile @.d|";
        text += std::to_string(20 + rng.below(900));
        text += '|';
        uint32_t span = std::min<uint32_t>(i, 400);
        uint32_t deps = span ? 1 + rng.below(6) : 0;
        for (uint32_t d = 0; d < deps; ++d) {
            if (d) text += ',';
            text += labels[i - 1 - rng.below(span)];
        }
        text += '\n';
    }
    return text;
}

}  // namespace plan

int main(int argc, char** argv) {
    bool ordered = argc > 1 && !std::strcmp(argv[1], "fixed");
    plan::Rng rng(0x5eed1234abcdull);
    auto t0 = std::chrono::steady_clock::now();
    uint64_t digest = 0, makespan = 0, busy = 0, edges = 0;
    for (int scenario = 0; scenario < 5; ++scenario) {
        std::string manifest = plan::make_manifest(16000, rng);
        plan::Graph graph;
        if (!graph.load(manifest)) {
            std::fprintf(stderr, "manifest has a cycle\n");
            return 1;
        }
        graph.fingerprint_all();
        graph.rank();
        plan::Replay replay(graph, 48, ordered);
        plan::Outcome o = replay.run();
        digest = digest * 31 + o.order_digest;
        makespan += o.makespan_ms;
        busy += o.busy_ms;
        edges += graph.edges();
    }
    double s = std::chrono::duration<double>(std::chrono::steady_clock::now() - t0).count();
    std::printf("edges=%llu makespan_ms=%llu busy_ms=%llu order=%016llx seconds=%.3f\n", (unsigned long long)edges,
                (unsigned long long)makespan, (unsigned long long)busy, (unsigned long long)digest, s);
    return 0;
}
